//! What stands where on a picture of the heat map, in pixels; any [`Canvas`] takes it.
//!
//! From the top: two lines of title, a line with `now` and `forecast`, the cells with the shards' names on their left, the time axis, the
//! scale of colours.

use super::super::output::{instant, word};
use super::palette::LEVELS;
use super::{Order, amount, hottest, length, level, named_rows, unit};
use isobar_api::HeatMapInfo;
use isobar_model::{InstantMs, Metric};

/// Around everything.
const MARGIN: u32 = 12;
/// Lines of text follow each other at this distance.
pub(super) const LINE: u32 = 16;
/// Height of a line's letters, and width that a letter may take.
pub(super) const LETTER_HEIGHT: u32 = 13;
const LETTER_WIDTH: u32 = 7;
/// Cells take as much as fits here, within the bounds below.
const PLOT_WIDTH: u32 = 1_200;
const PLOT_HEIGHT: u32 = 800;
const MAX_CELL_WIDTH: u32 = 24;
const MAX_CELL_HEIGHT: u32 = 18;
/// Two thousand rows are still seen one by one.
const MIN_CELL_HEIGHT: u32 = 2;
/// Longer names are cut: they would push the cells out of sight.
const MAX_NAME_CHARS: usize = 40;
/// Labels of the time axis stand no closer.
const TICK_DISTANCE: u32 = 96;
/// Distances of labels of the time axis that people read easily, milliseconds: seconds, minutes, hours, days.
const TICKS_MS: [u64; 24] = [
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    28 * DAY_MS,
    91 * DAY_MS,
    364 * DAY_MS,
];
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// The scale of colours: each level is so wide, all are so high.
const SWATCH_WIDTH: u32 = 4;
const SWATCH_HEIGHT: u32 = 12;
/// Width of the line of now, and what of it stands out above and below the cells.
const NOW_WIDTH: u32 = 2;
const NOW_ABOVE: u32 = 18;
const NOW_BELOW: u32 = 6;

/// What an area is filled with. What comes later lies above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Paint {
    /// Nothing is known.
    Missing,
    /// One of the palette's levels.
    Heat(usize),
    /// Lines.
    Ink,
    /// The line of now.
    Now,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Which part of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// What can be painted on. Texts lie above areas; `y` is the top of a text's letters.
pub(super) trait Canvas {
    fn fill(&mut self, area: Area, paint: Paint);
    fn text(&mut self, x: u32, y: u32, anchor: Anchor, text: &str);
}

/// A row of cells.
struct Row<'a> {
    name: String,
    values: &'a [Option<f32>],
}

/// A picture of the heat map.
pub(super) struct Chart<'a> {
    titles: [String; 2],
    rows: Vec<Row<'a>>,
    metric: Metric,
    hottest: f32,
    start: InstantMs,
    column_ms: u64,
    past: u32,
    columns: u32,
    cell_width: u32,
    cell_height: u32,
    left: u32,
}

impl<'a> Chart<'a> {
    pub(super) fn new(map: &'a HeatMapInfo, order: Order) -> Self {
        let columns = map.past + map.future;
        let rows: Vec<Row<'a>> = named_rows(map, order)
            .into_iter()
            .map(|(name, row)| Row { name: short(&name), values: &row.values })
            .collect();
        let at = |columns: u32| instant(map.start.plus_ms(u64::from(columns).saturating_mul(map.column_ms)));
        let omitted = match map.omitted {
            0 => String::new(),
            omitted => format!("; {omitted} cooler shards are left out"),
        };
        let (count, metric) = (rows.len(), word(&map.metric));
        let titles = [
            format!("{metric} of {count} shards, {} a column{omitted}", length(map.column_ms)),
            format!("{} to {} UTC, now {}", at(0), at(columns), at(map.past)),
        ];
        let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) as u32;
        let row_count = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            titles,
            rows,
            metric: map.metric,
            hottest: hottest(map),
            start: map.start,
            column_ms: map.column_ms.max(1),
            past: map.past,
            columns,
            cell_width: (PLOT_WIDTH / columns.max(1)).clamp(1, MAX_CELL_WIDTH),
            cell_height: (PLOT_HEIGHT / row_count.max(1)).clamp(MIN_CELL_HEIGHT, MAX_CELL_HEIGHT),
            left: MARGIN + longest * LETTER_WIDTH + LETTER_WIDTH,
        }
    }

    pub(super) fn title(&self) -> &str {
        &self.titles[0]
    }

    /// Cells drawn.
    pub(super) fn cells(&self) -> usize {
        self.rows.len() * self.columns as usize
    }

    pub(super) fn width(&self) -> u32 {
        let title = self.titles.iter().map(|title| title.chars().count()).max().unwrap_or(0) as u32;
        let cells = self.left + self.columns * self.cell_width;
        // `forecast` and the last label of the axis may reach beyond the last cell, names beside the scale beyond the scale.
        (cells + TICK_DISTANCE)
            .max(self.left + LEVELS as u32 * SWATCH_WIDTH + 2 * TICK_DISTANCE)
            .max(title * LETTER_WIDTH)
            + 2 * MARGIN
    }

    pub(super) fn height(&self) -> u32 {
        self.bottom() + 5 * LINE + MARGIN
    }

    /// Where the first row of cells begins.
    pub(super) fn top(&self) -> u32 {
        MARGIN + 2 * LINE + NOW_ABOVE + 4
    }

    fn bottom(&self) -> u32 {
        self.top() + self.rows.len() as u32 * self.cell_height
    }

    /// Where a column begins.
    pub(super) fn column_x(&self, column: u32) -> u32 {
        self.left + column * self.cell_width
    }

    /// Where a row begins.
    #[cfg(test)]
    pub(super) fn row_y(&self, row: u32) -> u32 {
        self.top() + row * self.cell_height
    }

    pub(super) fn paint(&self, canvas: &mut dyn Canvas) {
        for (line, title) in (0..).zip(&self.titles) {
            canvas.text(MARGIN, MARGIN + line * LINE, Anchor::Start, title);
        }
        self.paint_rows(canvas);
        self.paint_axis(canvas);
        self.paint_now(canvas);
        self.paint_scale(canvas);
    }

    fn paint_rows(&self, canvas: &mut dyn Canvas) {
        // Where rows are low, some go without a name.
        let every = (LETTER_HEIGHT - 1).div_ceil(self.cell_height).max(1) as usize;
        let paint = |value: &Option<f32>| match value {
            Some(value) => Paint::Heat(level(*value, self.hottest, LEVELS)),
            None => Paint::Missing,
        };
        for (at, row) in self.rows.iter().enumerate() {
            let y = self.top() + at as u32 * self.cell_height;
            if at.is_multiple_of(every) {
                let middle = (y + self.cell_height / 2).saturating_sub(LETTER_HEIGHT / 2);
                canvas.text(self.left - LETTER_WIDTH, middle, Anchor::End, &row.name);
            }
            // Neighbours that look the same are one rectangle.
            let paints: Vec<Paint> = row.values.iter().map(paint).collect();
            let mut column = 0;
            for run in paints.chunk_by(|a, b| a == b) {
                let columns = run.len() as u32;
                let area =
                    Area { x: self.column_x(column), y, width: columns * self.cell_width, height: self.cell_height };
                run.first().into_iter().for_each(|paint| canvas.fill(area, *paint));
                column += columns;
            }
        }
    }

    fn paint_axis(&self, canvas: &mut dyn Canvas) {
        let far_enough =
            |tick: &u64| tick.saturating_mul(u64::from(self.cell_width)) / self.column_ms >= u64::from(TICK_DISTANCE);
        // Where columns last for days, every so many columns.
        let sparse = || self.column_ms.saturating_mul(u64::from(TICK_DISTANCE / self.cell_width) + 1);
        let tick = TICKS_MS.into_iter().find(far_enough).unwrap_or_else(sparse);
        let end = self.start.0.saturating_add(u64::from(self.columns).saturating_mul(self.column_ms));
        let round = self.start.0.checked_next_multiple_of(tick).filter(|round| *round <= end);
        // Where no round time falls into the picture, its start is better than nothing.
        let whole = (end - self.start.0).saturating_add(1);
        let (first, tick) = round.map_or((self.start.0, whole), |round| (round, tick));
        let bottom = self.bottom();
        let times = std::iter::successors(Some(first), |at| at.checked_add(tick).filter(|at| *at <= end));
        for at in times {
            let offset = u128::from(at - self.start.0) * u128::from(self.cell_width) / u128::from(self.column_ms);
            let x = self.left + u32::try_from(offset).unwrap_or(0);
            canvas.fill(Area { x, y: bottom, width: 1, height: 4 }, Paint::Ink);
            canvas.text(x, bottom + NOW_BELOW, Anchor::Middle, &tick_label(at, tick));
        }
    }

    fn paint_now(&self, canvas: &mut dyn Canvas) {
        let (x, top) = (self.column_x(self.past), self.top() - NOW_ABOVE);
        let height = self.bottom() + NOW_BELOW - top;
        canvas.fill(Area { x: x - NOW_WIDTH / 2, y: top, width: NOW_WIDTH, height }, Paint::Now);
        canvas.text(x - LETTER_WIDTH, top, Anchor::End, "now");
        if self.columns > self.past {
            canvas.text(x + LETTER_WIDTH, top, Anchor::Start, "forecast");
            // What is forecast is underlined.
            let width = (self.columns - self.past) * self.cell_width;
            canvas.fill(Area { x, y: self.bottom(), width, height: NOW_WIDTH }, Paint::Now);
        }
    }

    fn paint_scale(&self, canvas: &mut dyn Canvas) {
        let y = self.bottom() + 2 * LINE + MARGIN / 2;
        for step in 0..LEVELS {
            let x = self.left + step as u32 * SWATCH_WIDTH;
            canvas.fill(Area { x, y, width: SWATCH_WIDTH, height: SWATCH_HEIGHT }, Paint::Heat(step));
        }
        let width = LEVELS as u32 * SWATCH_WIDTH;
        let label = |share: f32| amount(self.metric, self.hottest * share);
        let under = y + LINE;
        canvas.text(self.left, under, Anchor::Start, &label(0.0));
        canvas.text(self.left + width / 2, under, Anchor::Middle, &label(0.5));
        canvas.text(self.left + width, under, Anchor::End, &label(1.0));
        let beside = self.left + width + 2 * LETTER_WIDTH;
        canvas.text(beside, under, Anchor::Start, unit(self.metric));
        canvas.fill(Area { x: beside, y, width: 24, height: SWATCH_HEIGHT }, Paint::Missing);
        canvas.text(beside + 24 + LETTER_WIDTH, y, Anchor::Start, "missing");
    }
}

/// A name that can be drawn: cut where it is long, without what has no letter.
fn short(name: &str) -> String {
    let clean = name.chars().map(|sign| if sign.is_control() { '?' } else { sign });
    if name.chars().count() <= MAX_NAME_CHARS {
        return clean.collect();
    }
    clean.take(MAX_NAME_CHARS - 3).chain("...".chars()).collect()
}

/// The instant to the precision that its neighbours need.
fn tick_label(at: u64, tick: u64) -> String {
    let whole = instant(InstantMs(at));
    let part = if tick < MINUTE_MS {
        whole.split(' ').nth(1)
    } else if tick < DAY_MS {
        // Month, day, hour and minute.
        whole.split_once('-').and_then(|(_, rest)| rest.rsplit_once(':')).map(|(minute, _)| minute)
    } else {
        whole.split(' ').next()
    };
    part.unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::map;
    use super::*;

    #[derive(Default)]
    struct Noted {
        fills: Vec<(Area, Paint)>,
        texts: Vec<(u32, u32, Anchor, String)>,
    }

    impl Canvas for Noted {
        fn fill(&mut self, area: Area, paint: Paint) {
            self.fills.push((area, paint));
        }
        fn text(&mut self, x: u32, y: u32, anchor: Anchor, text: &str) {
            self.texts.push((x, y, anchor, text.to_owned()));
        }
    }

    fn noted(map: &HeatMapInfo) -> Noted {
        let mut noted = Noted::default();
        Chart::new(map, Order::Heat).paint(&mut noted);
        noted
    }

    #[test]
    fn now_is_between_what_was_and_what_may_be() {
        let map = map();
        let chart = Chart::new(&map, Order::Heat);
        let noted = noted(&map);
        let (line, _) = noted.fills.iter().find(|(_, paint)| *paint == Paint::Now).unwrap();
        assert_eq!((line.x + 1, line.width), (chart.column_x(2), 2));
        assert!(line.y < chart.top() && line.y + line.height > chart.bottom());
        let place = |wanted: &str| noted.texts.iter().find(|text| text.3 == wanted).unwrap();
        assert!(place("now").0 < line.x && place("now").2 == Anchor::End);
        assert!(place("forecast").0 > line.x && place("forecast").2 == Anchor::Start);
        // Of what is not forecast, only now is shown.
        let measured = noted_of_measured();
        assert!(measured.texts.iter().any(|text| text.3 == "now"));
        assert!(measured.texts.iter().all(|text| text.3 != "forecast"));
    }

    fn noted_of_measured() -> Noted {
        let mut map = map();
        map.future = 0;
        map.rows.iter_mut().for_each(|row| row.values.truncate(2));
        noted(&map)
    }

    #[test]
    fn cells_that_look_the_same_are_one() {
        let map = map();
        let chart = Chart::new(&map, Order::Heat);
        let noted = noted(&map);
        let of_row = |row: u32| {
            let cells = noted.fills.iter().filter(|(area, _)| area.y == chart.row_y(row));
            cells.map(|(area, paint)| (area.x - chart.column_x(0), area.width, *paint)).collect::<Vec<_>>()
        };
        // The hottest shard first: 1, 5 and 10 of 10.
        let half = Paint::Heat(LEVELS / 2);
        assert_eq!(of_row(0), [(0, 24, Paint::Heat(6)), (24, 24, half), (48, 24, Paint::Heat(LEVELS - 1))]);
        assert_eq!(of_row(1), [(0, 24, Paint::Heat(0)), (24, 24, Paint::Missing), (48, 24, half)]);
        assert_eq!(of_row(2), [(0, 72, Paint::Heat(0))]);
    }

    #[test]
    fn everything_lies_within_the_picture() {
        let mut wide = map();
        (wide.past, wide.future) = (4_000, 96);
        wide.rows = (0..2_000)
            .map(|i| {
                let mut row = wide.rows[0].clone();
                (row.shard.0, row.keyspace) = (i, "a-keyspace-with-quite-a-long-name-of-its-own".into());
                row.values = (0..4_096).map(|column| Some((column / 512) as f32)).collect();
                row
            })
            .collect();
        for map in [map(), wide] {
            let chart = Chart::new(&map, Order::Key);
            let mut noted = Noted::default();
            chart.paint(&mut noted);
            for (area, paint) in &noted.fills {
                let (right, bottom) = (area.x + area.width, area.y + area.height);
                assert!(right <= chart.width() && bottom <= chart.height(), "{area:?} {paint:?}");
            }
            for (x, y, anchor, text) in &noted.texts {
                let length = text.chars().count() as u32 * 6;
                let (left, right) = match anchor {
                    Anchor::Start => (Some(*x), x + length),
                    Anchor::Middle => (x.checked_sub(length / 2), x + length / 2),
                    Anchor::End => (x.checked_sub(length), *x),
                };
                assert!(left.is_some() && right <= chart.width() && y + LETTER_HEIGHT <= chart.height(), "{text}");
            }
        }
    }

    #[test]
    fn the_axis_is_labelled_in_round_times() {
        assert_eq!(tick_label(1_376_314_846_000, 2_000), "13:40:46");
        assert_eq!(tick_label(1_376_314_800_000, 300_000), "08-12 13:40");
        assert_eq!(tick_label(1_376_265_600_000, DAY_MS), "2013-08-12");
        let labels = |map: &HeatMapInfo| -> Vec<String> {
            let texts = noted(map).texts.into_iter().map(|text| text.3);
            texts.filter(|text| text.starts_with("08-1")).collect()
        };
        // Three columns reach to no round time: their start is given.
        assert_eq!(labels(&map()), ["08-12 13:40"]);
        let mut day = map();
        day.past = 287;
        assert_eq!(labels(&day)[..2], ["08-12 14:00", "08-12 16:00"]);
        assert_eq!(labels(&day).last().unwrap(), "08-13 12:00");
    }

    #[test]
    fn names_are_cut_and_cleaned() {
        assert_eq!(short("7 t\n@3"), "7 t?@3");
        assert_eq!(short(&"x".repeat(41)), format!("{}...", "x".repeat(37)));
    }
}
