use crate::jury::{Court, Heard, JUDGED, REACHES};
use serde::{Deserialize, Serialize};

/// Parts of a day, each corrected by itself as well.
const PARTS: usize = 4;
/// What is corrected: the side below the median, and the one above.
const SIDES: usize = 2;
/// By how much one outcome moves the logarithm of a factor; half of it moves that of the part of the day, half that of all. Some ten outcomes
/// come of each reach and day, and neighbours say the same. Slow enough that the pinball loss stays as it is on BitBrains machines that are in no
/// track, in weeks that no member was trained on, and where all is calibrated already; five times as fast loses half a percent of it.
const PACE: f32 = 0.004;
/// Factors stay within e to the power of plus and minus this.
const MOST: f32 = 1.5;

/// How much wider or narrower quantiles are to be than the mixture says, by horizon and time of day: each time a load falls outside one, that
/// side is widened, each time within it is narrowed, so that in the long run as many fall outside as it says, whatever the load does
/// (conformal quantile tracking: Gibbs and Candès, "Adaptive conformal inference under distribution shift", 2021; Angelopoulos, Candès and
/// Tibshirani, "Conformal PID control for time series prediction", 2023).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Logarithms of factors, of each reach.
    all: [[f32; SIDES]; REACHES],
    parts: [[[f32; SIDES]; REACHES]; PARTS],
}

impl Calibration {
    /// That takes the mixture at its word.
    pub(crate) fn new() -> Self {
        Self { all: [[0.0; SIDES]; REACHES], parts: [[[0.0; SIDES]; REACHES]; PARTS] }
    }

    /// Takes in the load of `step` and what the mixture had said of it.
    pub(crate) fn learn(&mut self, court: &Court, step: u64, heard: &Heard) {
        let Heard { reach, said: [low, middle, high, _], value } = *heard;
        let part = part(court.day, step);
        let [lower, upper] = self.of(part)[reach].map(f32::exp);
        let outside = [value < middle + lower * (low - middle), value > middle + upper * (high - middle)];
        for (side, (outside, expected)) in outside.into_iter().zip([JUDGED[0], 1.0 - JUDGED[2]]).enumerate() {
            // Where the quantile is the median itself, as of a shard that idles, no factor is right or wrong.
            if [middle - low, high - middle][side] <= 0.0 {
                continue;
            }
            let move_by = 0.5 * PACE * (f32::from(u8::from(outside)) - expected);
            for factor in [&mut self.all[reach][side], &mut self.parts[part][reach][side]] {
                *factor = (*factor + move_by).clamp(-0.5 * MOST, 0.5 * MOST);
            }
        }
    }

    /// What distances from the median, below and above, are to be multiplied by at a step, `lead` ahead.
    pub(crate) fn factors(&self, court: &Court, step: u64, lead: u64) -> [f32; SIDES] {
        court.between(&self.of(part(court.day, step)), lead).map(f32::exp)
    }

    /// Logarithms of factors at a part of the day.
    fn of(&self, part: usize) -> [[f32; SIDES]; REACHES] {
        let parts = &self.parts[part];
        std::array::from_fn(|reach| std::array::from_fn(|side| self.all[reach][side] + parts[reach][side]))
    }

    /// Whether learning could have made it.
    pub(crate) fn is_sound(&self) -> bool {
        let all = self.all.iter().chain(self.parts.iter().flatten()).flatten();
        all.copied().all(|factor| factor.abs() <= 0.5 * MOST)
    }
}

fn part(day: u64, step: u64) -> usize {
    ((step % day) * PARTS as u64 / day) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many days of a load that is uniform within -1 to 1, of which the mixture said these quantiles.
    fn learnt(days: u64, said: [f32; 4]) -> (Calibration, f32) {
        let (court, mut calibration) = (Court::new(24), Calibration::new());
        let (mut outside, mut count) = (0.0, 0.0);
        for step in 0..days * 24 {
            for lead in [1, 2, 24] {
                let value = (((step * 3 + lead) * 2_654_435_761) >> 7 & 0xffff) as f32 / 32_768.0 - 1.0;
                let [_, upper] = calibration.factors(&court, step, lead);
                if step > days * 12 {
                    outside += f32::from(u8::from(value > upper * said[2]));
                    count += 1.0;
                }
                calibration.learn(&court, step, &Heard { reach: court.reach(lead), said, value });
            }
        }
        assert!(calibration.is_sound());
        (calibration, outside / count)
    }

    #[test]
    fn quantiles_that_are_too_narrow_or_too_wide_come_to_hold_what_they_say() {
        for width in [0.4, 0.8, 1.6] {
            let (_, outside) = learnt(600, [-width, 0.0, width, 1.2 * width]);
            assert!((outside - 0.1).abs() < 0.02, "{width}: {outside} above the 0.9 quantile");
        }
    }

    #[test]
    fn at_first_and_where_all_is_well_nothing_changes() {
        let court = Court::new(288);
        assert_eq!(Calibration::new().factors(&court, 7, 1), [1.0, 1.0]);
        let (calibration, _) = learnt(600, [-0.8, 0.0, 0.8, 0.96]);
        for lead in [1, 5, 24] {
            for factor in calibration.factors(&Court::new(24), 3, lead) {
                assert!((factor - 1.0).abs() < 0.15, "{factor}");
            }
        }
    }

    #[test]
    fn a_part_of_the_day_is_corrected_by_itself() {
        let (court, mut calibration) = (Court::new(24), Calibration::new());
        for step in 0..24 * 400 {
            let value = if step % 24 < 6 && step % 5 < 3 { 3.0 } else { 0.0 };
            calibration.learn(&court, step, &Heard { reach: 0, said: [-1.0, 0.0, 1.0, 2.0], value });
        }
        let [night, noon] = [2, 14].map(|hour| calibration.factors(&court, hour, 1)[1]);
        assert!(night > 1.3 * noon, "{night} {noon}");
        assert_eq!(calibration.factors(&court, 2, 24), [1.0, 1.0], "long leads are none of it");
    }
}
