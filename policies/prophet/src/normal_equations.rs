use crate::seasonality::Seasonality;

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
/// Columns: time, 1, time since each changepoint (0 before it), then the periodic terms.
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

impl NormalEquations {
    /// Of `points`, ascending in time. `changepoints`, in the frame's time, ascend and lie within it.
    ///
    /// A changepoint's column is a straight line from some value on, so its products are sums over the values from there on. One pass over
    /// history costs the same with any number of changepoints.
    pub(crate) fn of(points: &[Point], frame: Frame, changepoints: &[f64], seasonality: Seasonality) -> Self {
        let (changes, terms) = (changepoints.len(), seasonality.terms());
        let mut segments = vec![Segment::empty(terms); changes + 1];
        let mut term_gram = vec![0.0; terms * terms];
        let mut term_right = vec![0.0; terms];
        let mut square = 0.0;
        let mut row = vec![0.0; terms];
        let mut at = 0;
        for point in points {
            let (time, value) = (frame.time(point.time_days), point.value / frame.scale);
            while changepoints.get(at).is_some_and(|change| *change <= time) {
                at += 1;
            }
            seasonality.write(point.time_days, &mut row);
            let segment = &mut segments[at];
            segment.count += 1.0;
            segment.time += time;
            segment.time_time += time * time;
            segment.value += value;
            segment.time_value += time * value;
            square += value * value;
            for (i, term) in row.iter().enumerate() {
                segment.terms[i] += term;
                segment.time_terms[i] += time * term;
                term_right[i] += value * term;
                for (sum, other) in term_gram[i * terms..].iter_mut().zip(&row[..=i]) {
                    *sum += term * other;
                }
            }
        }
        for at in (0..changes).rev() {
            let (earlier, later) = segments.split_at_mut(at + 1);
            earlier[at].add(&later[0]);
        }
        let mut equations = Self::zero(2 + changes + terms, square, segments[0].count);
        equations.put_trend(&segments, changepoints);
        let first = 2 + changes;
        for i in 0..terms {
            equations.right[first + i] = term_right[i];
            for j in 0..=i {
                equations.put(first + i, first + j, term_gram[i * terms + j]);
            }
        }
        equations
    }

    fn zero(size: usize, square: f64, count: f64) -> Self {
        Self { size, gram: vec![0.0; size * size], right: vec![0.0; size], square, count }
    }

    /// The columns of the trend, with each other and with the periodic terms. `segments`: sums from each changepoint on, the first from the
    /// beginning.
    fn put_trend(&mut self, segments: &[Segment], changepoints: &[f64]) {
        let (all, first_term) = (&segments[0], 2 + changepoints.len());
        self.put(0, 0, all.time_time);
        self.put(1, 0, all.time);
        self.put(1, 1, all.count);
        (self.right[0], self.right[1]) = (all.time_value, all.value);
        for (i, (time_term, term)) in all.time_terms.iter().zip(&all.terms).enumerate() {
            self.put(first_term + i, 0, *time_term);
            self.put(first_term + i, 1, *term);
        }
        for (at, (since, change)) in segments[1..].iter().zip(changepoints).enumerate() {
            let column = 2 + at;
            self.put(column, 0, since.time_time - change * since.time);
            self.put(column, 1, since.time - change * since.count);
            for (earlier, earlier_change) in changepoints.iter().enumerate().take(at + 1) {
                let sum =
                    since.time_time - (change + earlier_change) * since.time + change * earlier_change * since.count;
                self.put(column, 2 + earlier, sum);
            }
            for (i, (time_term, term)) in since.time_terms.iter().zip(&since.terms).enumerate() {
                self.put(first_term + i, column, time_term - change * term);
            }
            self.right[column] = since.time_value - change * since.value;
        }
    }

    fn put(&mut self, row: usize, column: usize, sum: f64) {
        self.gram[row * self.size + column] = sum;
        self.gram[column * self.size + row] = sum;
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
                let mut row = vec![time, 1.0];
                row.extend(changepoints.map(|change| (time - change).max(0.0)));
                let mut terms = vec![0.0; seasonality.terms()];
                seasonality.write(point.time_days, &mut terms);
                row.extend(terms);
                row
            })
            .collect();
        for a in 0..equations.size {
            for b in 0..equations.size {
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
