//! Pages for people: values in, one self-contained HTML file out, with plots as inline SVG.
//!
//! A [`Page`] holds [`Section`]s; a section holds texts, [`KeyFigure`]s, [`Table`]s and plots: [`LinePlot`] (lines with bands, steps, event
//! marks), [`BarPlot`] (error bars) and [`HeatPlot`]. A page needs nothing but itself: no script, no font, no picture from elsewhere, and a
//! content security policy that would not let it fetch any. It follows the reader's choice of light or dark, prints, and can be read by ear:
//! each plot has a title, a description and its figures as a table below it.
//!
//! Everything is bounded: a line is drawn with at most a few thousand points, however many it has (see [`LinePlot`]), a heat map is
//! aggregated to a bounded number of cells, tables end after [`Table::MAX_ROWS`] rows and say how many are missing. Texts are escaped wherever
//! they come from, values that are no numbers are gaps.
//!
//! Why not a library: `plotters` (MIT), the best kept of them, draws pixels' worth of fixed colours. Its SVG has no title, no description
//! and no class, so that it can follow neither a dark page nor a screen reader, and its bitmap side (fonts, pictures) weighs more than this
//! crate; what would be left to use of it are the ticks of an axis.
//!
//! Architecture invariant: pure and alone. No clock, no file, no crate of ours; a page depends on its values only, to the byte.

mod axis;
mod bar_plot;
mod figure;
mod heat_plot;
mod line_plot;
mod markup;
mod number;
mod page;
mod palette;
mod reduction;
mod section;
mod table;

pub use axis::Axis;
pub use bar_plot::{Bar, BarGroup, BarPlot};
pub use heat_plot::{Aggregate, HeatPlot};
pub use line_plot::{BandPoint, Level, Line, LinePlot, Mark};
pub use number::{date_time, short};
pub use page::Page;
pub use palette::MAX_SERIES;
pub use section::{KeyFigure, Section, Tone};
pub use table::{Align, Table};
