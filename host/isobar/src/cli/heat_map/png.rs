//! The heat map as PNG: a pixel is a byte, the number of its colour.

use super::chart::{Anchor, Area, Canvas, Chart, Paint};
use super::palette::{BACKGROUND, HATCH, INK, LEVELS, MISSING, NOW, heat};
use ::png::{BitDepth, ColorType, Encoder};
use anyhow::Context as _;
use embedded_graphics::Drawable as _;
use embedded_graphics::Pixel;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_6X13;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::DrawTarget;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use std::convert::Infallible;
use std::io::Write;

/// The first colours are the levels; these follow.
const BACKGROUND_INDEX: u8 = LEVELS as u8;
const INK_INDEX: u8 = BACKGROUND_INDEX + 1;
const MISSING_INDEX: u8 = BACKGROUND_INDEX + 2;
const HATCH_INDEX: u8 = BACKGROUND_INDEX + 3;
const NOW_INDEX: u8 = BACKGROUND_INDEX + 4;
/// Lines that hatch what is missing are so far apart.
const HATCH_DISTANCE: u32 = 6;

pub(super) fn write(chart: &Chart, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut pixels = Pixels::new(chart.width(), chart.height());
    chart.paint(&mut pixels);
    let mut encoder = Encoder::new(out, pixels.width, pixels.height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    let named = [BACKGROUND, INK, MISSING, HATCH, NOW];
    encoder.set_palette((0..LEVELS).map(heat).chain(named).flatten().collect::<Vec<u8>>());
    let unwritten = "the PNG could not be written";
    let mut writer = encoder.write_header().context(unwritten)?;
    writer.write_image_data(&pixels.indices).context(unwritten)?;
    writer.finish().context(unwritten)
}

/// Row by row.
struct Pixels {
    width: u32,
    height: u32,
    indices: Vec<u8>,
}

impl Pixels {
    fn new(width: u32, height: u32) -> Self {
        Self { width, height, indices: vec![BACKGROUND_INDEX; width as usize * height as usize] }
    }

    /// Beyond the edges nothing is drawn.
    fn at(&mut self, x: u32, y: u32) -> Option<&mut u8> {
        if x >= self.width {
            return None;
        }
        self.indices.get_mut(y as usize * self.width as usize + x as usize)
    }
}

impl Canvas for Pixels {
    fn fill(&mut self, area: Area, paint: Paint) {
        let index = |x: u32, y: u32| match paint {
            Paint::Missing if (x + y).is_multiple_of(HATCH_DISTANCE) => HATCH_INDEX,
            Paint::Missing => MISSING_INDEX,
            Paint::Heat(level) => level.min(LEVELS - 1) as u8,
            Paint::Ink => INK_INDEX,
            Paint::Now => NOW_INDEX,
        };
        for y in area.y..area.y + area.height {
            for x in area.x..area.x + area.width {
                self.at(x, y).into_iter().for_each(|pixel| *pixel = index(x, y));
            }
        }
    }

    fn text(&mut self, x: u32, y: u32, anchor: Anchor, text: &str) {
        let alignment = match anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let place = Point::new(x.cast_signed(), y.cast_signed());
        let style = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Top).build();
        let letters = MonoTextStyle::new(&FONT_6X13, BinaryColor::On);
        let Ok(_end) = Text::with_text_style(text, place, letters, style).draw(self);
    }
}

impl OriginDimensions for Pixels {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

/// Letters only: what is off stays as it is.
impl DrawTarget for Pixels {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(place, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(place.x), u32::try_from(place.y)) else { continue };
            if colour.is_on() {
                self.at(x, y).into_iter().for_each(|pixel| *pixel = INK_INDEX);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::super::palette::Rgb;
    use super::super::tests::map;
    use super::*;
    use ::png::{Decoder, Transformations};
    use std::io::Cursor;

    #[test]
    fn it_decodes_to_the_colours_of_its_cells() {
        let map = map();
        let chart = Chart::new(&map, Order::Heat);
        let mut out = Vec::new();
        write(&chart, &mut out).unwrap();
        let mut decoder = Decoder::new(Cursor::new(out));
        decoder.set_transformations(Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (chart.width(), chart.height(), ColorType::Rgb));
        let colour = |x: u32, y: u32| -> Rgb {
            let at = (y as usize * info.width as usize + x as usize) * 3;
            [rgb[at], rgb[at + 1], rgb[at + 2]]
        };
        let cell = |column: u32, row: u32| colour(chart.column_x(column) + 5, chart.row_y(row) + 5);
        assert_eq!((cell(0, 0), cell(1, 0), cell(2, 0)), (heat(6), heat(32), heat(63)));
        let missing: Vec<Rgb> = (0..6).map(|i| colour(chart.column_x(1) + 5 + i, chart.row_y(1) + 5)).collect();
        assert_eq!(missing.iter().filter(|colour| **colour == HATCH).count(), 1);
        assert_eq!(missing.iter().filter(|colour| **colour == MISSING).count(), 5);
        let now = chart.column_x(2);
        assert_eq!((colour(now - 1, chart.row_y(2)), colour(now, chart.row_y(2))), (NOW, NOW));
        assert_eq!(colour(now - 2, chart.row_y(2)), heat(0));
        assert_eq!(colour(chart.width() - 1, 0), BACKGROUND);
        // The name of the first row is written beside it.
        let mut beside = (12..chart.column_x(0)).map(|x| (chart.row_y(0)..chart.row_y(1)).map(move |y| (x, y)));
        assert!(beside.any(|mut column| column.any(|(x, y)| colour(x, y) == INK)));
    }

    #[test]
    fn what_lies_beyond_the_edge_is_not_drawn() {
        let mut pixels = Pixels::new(10, 10);
        pixels.fill(Area { x: 8, y: 8, width: 9, height: 9 }, Paint::Ink);
        pixels.text(2, 20, Anchor::End, "name");
        pixels.text(9, 5, Anchor::Start, "");
        assert_eq!(pixels.indices.iter().filter(|index| **index == INK_INDEX).count(), 4);
    }
}
