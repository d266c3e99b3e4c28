use forecasting_kit::Ring;

/// Of a day, at least this share must be known for it to count as one.
const KNOWN_SHARE: f32 = 0.5;
/// Days of a week.
pub(crate) const WEEK: usize = 7;
/// Days that there must be for one to stand out from the others.
const LEAST_COMPARED: usize = 5;
/// How far a value may be from the median of its time of day, or from that time on a neighbouring day or a week away, and still count in full; in usual
/// distances from the median: those of that time of day and those of all, half each. What happens once is no season.
const HELD: f32 = 2.0;

/// The newest whole days of a series, oldest first, each ending where the next begins and the last one now.
#[derive(Debug)]
pub(crate) struct Days {
    /// Steps of a day.
    pub(crate) length: usize,
    /// Steps before the first of them, as the ring counts.
    pub(crate) first: u64,
    /// Day after day; where one was missing, the mean of that time of day.
    pub(crate) values: Vec<f32>,
    /// The same without accidents: what is far from the other days is held nearer.
    held: Vec<f32>,
    /// Whether each was truly seen.
    pub(crate) known: Vec<bool>,
    /// What each day counts: the share of it that was seen, 0 where that is too little.
    pub(crate) weights: Vec<f32>,
}

impl Days {
    /// The newest `count` days of `history`, which holds them.
    pub(crate) fn newest(history: &Ring, length: usize, count: usize) -> Self {
        let steps = count * length;
        let first = history.next().saturating_sub(steps as u64);
        let mut values: Vec<f32> = history.run(first, steps as u64).collect();
        let known: Vec<bool> = values.iter().map(|value| !value.is_nan()).collect();
        let weights = known
            .chunks_exact(length.max(1))
            .map(|day| {
                let share = day.iter().filter(|known| **known).count() as f32 / length as f32;
                if share < KNOWN_SHARE { 0.0 } else { share }
            })
            .collect();
        if known.iter().any(|known| !known) {
            fill(&mut values, length);
        }
        let held = if count >= LEAST_COMPARED { held(&values, length) } else { values.clone() };
        Self { length, first, values, held, known, weights }
    }

    /// Whether enough days are known for a season.
    pub(crate) fn is_seasonal(&self) -> bool {
        self.weights.iter().filter(|weight| **weight > 0.0).count() >= 2
    }

    pub(crate) fn count(&self) -> usize {
        self.weights.len()
    }

    /// A day without accidents.
    pub(crate) fn day(&self, day: usize) -> &[f32] {
        &self.held[day * self.length..(day + 1) * self.length]
    }
}

/// Holds each value near what others at its time of day are.
fn held(values: &[f32], length: usize) -> Vec<f32> {
    let mut column: Vec<f32> = Vec::new();
    let middle_and_distance = |slot: usize| {
        column.clear();
        column.extend(values.iter().skip(slot).step_by(length));
        column.sort_unstable_by(f32::total_cmp);
        let half = column.len() / 2;
        let middle =
            if column.len().is_multiple_of(2) { f32::midpoint(column[half - 1], column[half]) } else { column[half] };
        (middle, column.iter().map(|value| (value - middle).abs()).sum::<f32>() / column.len() as f32)
    };
    let slots: Vec<(f32, f32)> = (0..length).map(middle_and_distance).collect();
    let usual = slots.iter().map(|(_, distance)| distance).sum::<f32>() / length as f32;
    let week = WEEK * length;
    let held = |(at, value): (usize, &f32)| {
        let (middle, distance) = slots[at % length];
        let most = HELD * f32::midpoint(distance, usual);
        // Two weekends of fourteen days are far from the median, and so are the last days of a new timetable, but none of them is alone.
        let others = [at.checked_sub(week), at.checked_sub(length), Some(at + length), Some(at + week)];
        let others = others.into_iter().flatten().filter_map(|other| values.get(other).copied());
        let nearest =
            others.fold(
                middle,
                |nearest, other| {
                    if (other - value).abs() < (nearest - value).abs() { other } else { nearest }
                },
            );
        value.clamp(middle.min(nearest) - most, middle.max(nearest) + most)
    };
    values.iter().enumerate().map(held).collect()
}

/// Puts the mean of its time of day where a value is missing; where that is not known, the value before.
fn fill(values: &mut [f32], length: usize) {
    let mean_at = |values: &[f32], slot: usize| {
        let known = values.iter().skip(slot).step_by(length).filter(|value| !value.is_nan());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        // Of none: NaN.
        sum / count
    };
    let mut means: Vec<f32> = (0..length).map(|slot| mean_at(values, slot)).collect();
    let mut last = means.iter().copied().find(|mean| !mean.is_nan()).unwrap_or(0.0);
    for mean in &mut means {
        if mean.is_nan() {
            *mean = last;
        }
        last = *mean;
    }
    for (at, value) in values.iter_mut().enumerate() {
        if value.is_nan() {
            *value = means[at % length];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_with_gaps_filled_from_other_days() {
        let nan = f32::NAN;
        let mut ring = Ring::new(16, 0);
        for value in [9.0, 1.0, 2.0, nan, 3.0, 4.0, 7.0, 1.0, nan, nan] {
            ring.push(value);
        }
        let days = Days::newest(&ring, 3, 3);
        assert_eq!((days.first, days.count()), (1, 3));
        assert_eq!(days.day(0), [1.0, 2.0, 7.0]);
        assert_eq!(days.day(1), [3.0, 4.0, 7.0]);
        assert_eq!(days.day(2), [1.0, 3.0, 7.0]);
        assert_eq!(days.weights, [2.0 / 3.0, 1.0, 0.0]);
        assert!(days.known[1] && !days.known[2]);
    }

    #[test]
    fn one_day_unlike_the_others_is_held_nearer() {
        let mut ring = Ring::new(16, 0);
        [1.0, 5.0, 1.5, 5.0, 900.0, 5.0, 0.5, 5.0, 1.0, 5.0].into_iter().for_each(|value| ring.push(value));
        let days = Days::newest(&ring, 2, 5);
        assert_eq!(days.day(0), [1.0, 5.0]);
        assert!(days.day(2)[0] < 600.0 && days.values[4] == 900.0);
    }
}
