//! The load of what is to be placed.

/// Load of one unit that is placed by itself: a shard, a tenant, a virtual machine, a bucket of keys.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitLoad {
    /// Its name.
    pub name: String,
    /// Load per second in whatever unit, one value a step; NaN where nothing is known.
    pub values: Vec<f32>,
    /// Into how many equal parts it can be split at most: a key hotter than all others together forbids more than one.
    pub max_parts: usize,
    /// What it stores, where known.
    pub bytes: Option<u64>,
}

/// What was done about missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Filled {
    /// Missing between known ones, as a share of all values: taken to lie on a line between their neighbours.
    pub between: f64,
    /// Missing before a unit's first or after its last, as a share of all values: taken as no load, the unit was not there.
    pub outside: f64,
}

/// Fills what is missing, so that arms see the same load; negative and infinite values count as missing.
pub fn fill_gaps(units: &mut [UnitLoad]) -> Filled {
    let (mut between, mut outside, mut all) = (0_usize, 0_usize, 0_usize);
    for unit in units {
        all += unit.values.len();
        let known: Vec<usize> =
            (0..unit.values.len()).filter(|&at| unit.values[at].is_finite() && unit.values[at] >= 0.0).collect();
        let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
            outside += unit.values.len();
            unit.values.fill(0.0);
            continue;
        };
        outside += first + (unit.values.len() - 1 - last);
        unit.values[..first].fill(0.0);
        unit.values[last + 1..].fill(0.0);
        for pair in known.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            between += to - from - 1;
            let (left, right) = (unit.values[from], unit.values[to]);
            for at in from + 1..to {
                unit.values[at] = left + (right - left) * (at - from) as f32 / (to - from) as f32;
            }
        }
    }
    let share = |count: usize| count as f64 / all.max(1) as f64;
    Filled { between: share(between), outside: share(outside) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_and_what_was_not_there_is_no_load() {
        let nan = f32::NAN;
        let unit = |values: &[f32]| UnitLoad { name: "u".into(), values: values.into(), max_parts: 1, bytes: None };
        let mut units = [unit(&[nan, 1.0, nan, nan, 4.0, f32::INFINITY]), unit(&[nan; 6])];
        let filled = fill_gaps(&mut units);
        assert_eq!(units[0].values, [0.0, 1.0, 2.0, 3.0, 4.0, 0.0]);
        assert_eq!(units[1].values, [0.0; 6]);
        assert!((filled.between - 2.0 / 12.0).abs() < 1e-9 && (filled.outside - 8.0 / 12.0).abs() < 1e-9, "{filled:?}");
    }
}
