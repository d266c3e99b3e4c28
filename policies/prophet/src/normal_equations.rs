use crate::seasonality::{Seasonality, WEEK_DAYS};
use std::collections::BTreeMap;

/// One value of the history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When, in days since the Unix epoch.
    pub time_days: f64,
    /// The load then.
    pub value: f64,
}

/// History as the model sees it: its time runs from 0 to 1, its largest load is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) start_days: f64,
    pub(crate) span_days: f64,
    /// The largest load.
    pub(crate) scale: f64,
}

impl Frame {
    pub(crate) fn time(&self, time_days: f64) -> f64 {
        (time_days - self.start_days) / self.span_days
    }
}

/// The sums of products from which every least-squares fit of the model follows, whatever its priors: `gram` of the columns, their products
/// with the loads (`right`), and the loads' own square.
///
/// Columns: the periodic terms, then time, 1, and time since each changepoint (0 before it).
pub(crate) struct NormalEquations {
    pub(crate) size: usize,
    pub(crate) gram: Vec<f64>,
    pub(crate) right: Vec<f64>,
    pub(crate) square: f64,
    pub(crate) count: f64,
}

/// Sums over the values from one changepoint to the next, and by and by over all from it on.
#[derive(Clone)]
struct Segment {
    count: f64,
    time: f64,
    time_time: f64,
    value: f64,
    time_value: f64,
    /// Of each periodic term, then of each times time.
    terms: Vec<f64>,
    time_terms: Vec<f64>,
}

impl Segment {
    fn empty(terms: usize) -> Self {
        Self {
            count: 0.0,
            time: 0.0,
            time_time: 0.0,
            value: 0.0,
            time_value: 0.0,
            terms: vec![0.0; terms],
            time_terms: vec![0.0; terms],
        }
    }

    fn put(&mut self, time: f64, value: f64, terms: &[f64]) {
        self.count += 1.0;
        self.time += time;
        self.time_time += time * time;
        self.value += value;
        self.time_value += time * value;
        for ((sum, time_sum), term) in self.terms.iter_mut().zip(&mut self.time_terms).zip(terms) {
            *sum += term;
            *time_sum += time * term;
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.time += other.time;
        self.time_time += other.time_time;
        self.value += other.value;
        self.time_value += other.time_value;
        for (sum, part) in self.terms.iter_mut().zip(&other.terms) {
            *sum += part;
        }
        for (sum, part) in self.time_terms.iter_mut().zip(&other.time_terms) {
            *sum += part;
        }
    }
}

/// Times of the week are told apart to half a millisecond, half of the shortest step.
const TIMES_A_WEEK: f64 = 1_209_600_000.0;

/// One time of the week: its periodic terms, the same every week, and sums over the values seen then.
struct TimeOfWeek {
    terms: Vec<f64>,
    count: f64,
    value: f64,
}

fn time_of_week(time_days: f64) -> u64 {
    let weeks = time_days / WEEK_DAYS;
    ((weeks - weeks.floor()) * TIMES_A_WEEK).round() as u64
}

impl NormalEquations {
    /// Of `points`, ascending in time. `changepoints`, in the frame's time, ascend and lie within it.
    ///
    /// A changepoint's column is a straight line from some value on, so its products are sums over the values from there on. One pass over
    /// history costs the same with any number of changepoints. Periodic terms are multiplied with each other once for each time of the week
    /// and not for each value.
    pub(crate) fn of(points: &[Point], frame: Frame, changepoints: &[f64], seasonality: Seasonality) -> Self {
        let (changes, terms) = (changepoints.len(), seasonality.terms());
        let mut equations = Self::zero(terms + 2 + changes, points.len() as f64);
        let mut segments = vec![Segment::empty(terms); changes + 1];
        let mut times = BTreeMap::new();
        let mut at = 0;
        for point in points {
            let (time, value) = (frame.time(point.time_days), point.value / frame.scale);
            while changepoints.get(at).is_some_and(|change| *change <= time) {
                at += 1;
            }
            let then = times.entry(time_of_week(point.time_days)).or_insert_with(|| {
                let mut terms = vec![0.0; terms];
                seasonality.write(point.time_days, &mut terms);
                TimeOfWeek { terms, count: 0.0, value: 0.0 }
            });
            then.count += 1.0;
            then.value += value;
            segments[at].put(time, value, &then.terms);
            equations.square += value * value;
        }
        for TimeOfWeek { terms, count, value } in times.values() {
            for (i, term) in terms.iter().enumerate() {
                let (start, weighed) = (i * equations.size, count * term);
                for (sum, other) in equations.gram[start..=start + i].iter_mut().zip(terms) {
                    *sum += weighed * other;
                }
                equations.right[i] += value * term;
            }
        }
        for at in (0..changes).rev() {
            let (earlier, later) = segments.split_at_mut(at + 1);
            earlier[at].add(&later[0]);
        }
        equations.put_trend(&segments, changepoints);
        equations
    }

    fn zero(size: usize, count: f64) -> Self {
        Self { size, gram: vec![0.0; size * size], right: vec![0.0; size], square: 0.0, count }
    }

    /// The columns of the trend, with each other and with the periodic terms. `segments`: sums from each changepoint on, the first from the
    /// beginning.
    fn put_trend(&mut self, segments: &[Segment], changepoints: &[f64]) {
        let (all, line) = (&segments[0], self.size - 2 - changepoints.len());
        self.put(line, 0, &all.time_terms);
        self.put(line, line, &[all.time_time]);
        self.put(line + 1, 0, &all.terms);
        self.put(line + 1, line, &[all.time, all.count]);
        (self.right[line], self.right[line + 1]) = (all.time_value, all.value);
        for (at, (since, change)) in segments[1..].iter().zip(changepoints).enumerate() {
            let row = line + 2 + at;
            let of_terms = since.time_terms.iter().zip(&since.terms).map(|(time_term, term)| time_term - change * term);
            let of_line = [since.time_time - change * since.time, since.time - change * since.count];
            let of_changes = changepoints[..=at].iter().map(|earlier| of_line[0] - earlier * of_line[1]);
            let products: Vec<f64> = of_terms.chain(of_line).chain(of_changes).collect();
            self.put(row, 0, &products);
            self.right[row] = since.time_value - change * since.value;
        }
    }

    /// The products of column `row` with those from `first` on.
    fn put(&mut self, row: usize, first: usize, products: &[f64]) {
        let start = row * self.size + first;
        self.gram[start..start + products.len()].copy_from_slice(products);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_segments_are_the_products_of_the_columns() {
        let points: Vec<Point> = (0..90)
            .filter(|i| i % 7 != 3)
            .map(|i| Point { time_days: 100.0 + f64::from(i) / 24.0, value: f64::from(i * 37 % 11) })
            .collect();
        let frame = Frame { start_days: 100.0, span_days: 89.0 / 24.0, scale: 10.0 };
        let changepoints = [frame.time(points[9].time_days), 0.4, 0.77];
        let seasonality = Seasonality { day_order: 2, week_order: 1 };
        let equations = NormalEquations::of(&points, frame, &changepoints, seasonality);

        let columns: Vec<Vec<f64>> = points
            .iter()
            .map(|point| {
                let time = frame.time(point.time_days);
                let mut row = vec![0.0; seasonality.terms()];
                seasonality.write(point.time_days, &mut row);
                row.extend([time, 1.0]);
                row.extend(changepoints.map(|change| (time - change).max(0.0)));
                row
            })
            .collect();
        for a in 0..equations.size {
            for b in 0..=a {
                let wanted: f64 = columns.iter().map(|row| row[a] * row[b]).sum();
                let found = equations.gram[a * equations.size + b];
                assert!((found - wanted).abs() < 1e-9, "columns {a} and {b}: {found}, not {wanted}");
            }
            let wanted: f64 = columns.iter().zip(&points).map(|(row, point)| row[a] * point.value / 10.0).sum();
            assert!((equations.right[a] - wanted).abs() < 1e-9, "column {a}");
        }
        assert_eq!(equations.count, points.len() as f64);
    }
}
