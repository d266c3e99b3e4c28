use forecasting_kit::{Ring, Seasons};
use isobar_model::Link;
use seasonal_naive::Series as Naive;

/// Fewer pairs than this teach nothing.
const LEAST_PAIRS: f32 = 48.0;
/// Pairs looked at, at most: the newest, as far as deviations are kept.
const MOST_PAIRS: u64 = 480;
/// A deviation of more usual ones than this teaches no more.
const LIMIT: f32 = 6.0;
/// Ridge, as a share of a predictor's own square.
const RIDGE: f32 = 0.02;
/// Errors must shrink to at most this share of what they were before a leader counts at all …
const COUNTS_BELOW: f32 = 0.95;
/// … and to this share before it counts in full.
const IN_FULL_BELOW: f32 = 0.85;
/// Errors are never taken to shrink below this share: what fits the last days that well fits by chance, too.
const LEAST_SHRINK: f32 = 0.25;

/// One shard's season, and the loads that it was learnt from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) model: &'a Naive,
    pub(crate) history: &'a Ring,
}

impl Watched<'_> {
    fn deviation(self, step: u64) -> f32 {
        self.model.deviation(self.history, step)
    }
}

/// How one shard goes after another that leads it: a regression of the follower's deviation from its season on the leader's deviation a lag
/// before, and on what of the follower's own would have been carried on, for each band of leads up to the lag. (Transfer-function models:
/// Box and Jenkins, "Time Series Analysis", 1970, reduced to one delay.)
#[derive(Clone, Debug)]
pub(crate) struct Following<'a> {
    leader: Watched<'a>,
    lag: u64,
    /// For each band whose lead is within the lag.
    fits: Vec<Fit>,
}

#[derive(Clone, Copy, Debug)]
struct Fit {
    leader: f32,
    own: f32,
    /// Usual error with the leader over that without.
    shrink: f32,
}

/// What a leader says of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreseen {
    /// The load expected.
    pub(crate) center: f32,
    /// How much narrower quantiles are around it.
    pub(crate) shrink: f32,
    /// How much that counts beside the forecast without it, 0 to 1.
    pub(crate) weight: f32,
}

impl<'a> Following<'a> {
    /// Learns it from the last day and more. None where there is too little, or nothing to gain.
    pub(crate) fn learn(seasons: &Seasons, follower: Watched<'_>, leader: Watched<'a>, link: Link) -> Option<Self> {
        let lag = u64::from(link.lag_steps);
        let fits: Vec<Fit> = (seasons.bands.leads().iter().enumerate())
            .take_while(|(_, lead)| **lead <= lag)
            .map_while(|(band, lead)| Fit::learn(follower, leader, lag, band, *lead))
            .collect();
        let gains = fits.iter().any(|fit| fit.shrink < COUNTS_BELOW);
        gains.then_some(Self { leader, lag, fits })
    }

    /// What it says of the step `lead` from now; none beyond the lag, or where the leader's load is not known.
    pub(crate) fn foresee(&self, seasons: &Seasons, follower: Watched<'_>, lead: u64) -> Option<Foreseen> {
        if lead > self.lag {
            return None;
        }
        let step = (follower.model.next() + lead).checked_sub(1 + self.lag)?;
        let deviation = self.leader.deviation(step);
        if deviation.is_nan() {
            return None;
        }
        let spot = seasons.bands.spot(lead);
        // Beyond the last band within the lag its fit holds on.
        let fit = |band: usize| self.fits[band.min(self.fits.len() - 1)];
        let (leading, own) = (spot.between(|band| fit(band).leader), spot.between(|band| fit(band).own));
        let shrink = spot.between(|band| fit(band).shrink);
        let (season, carried) = follower.model.expectation(seasons, follower.history, lead);
        let weight = ((COUNTS_BELOW - shrink) / (COUNTS_BELOW - IN_FULL_BELOW)).clamp(0.0, 1.0);
        Some(Foreseen { center: season + leading * deviation + own * carried, shrink, weight })
    }
}

impl Fit {
    fn learn(follower: Watched<'_>, leader: Watched<'_>, lag: u64, band: usize, lead: u64) -> Option<Self> {
        let end = follower.model.next();
        let pairs = || {
            (end.saturating_sub(MOST_PAIRS)..end).filter_map(|step| {
                let (leads, own) = (step.checked_sub(lag)?, step.checked_sub(lead)?);
                let pair = [leader.deviation(leads), follower.model.carried(own, band), follower.deviation(step)];
                pair.iter().all(|part| part.is_finite()).then_some(pair)
            })
        };
        let mut usual = [0.0f32; 3];
        let mut count = 0.0;
        for pair in pairs() {
            usual.iter_mut().zip(pair).for_each(|(usual, part)| *usual += part.abs());
            count += 1.0;
        }
        if count < LEAST_PAIRS {
            return None;
        }
        let usual = usual.map(|sum| sum / count);
        if usual[0] <= 0.0 || usual[2] <= 0.0 {
            return None;
        }
        let clipped = |pair: [f32; 3]| -> [f32; 3] {
            std::array::from_fn(|i| pair[i].clamp(-LIMIT * usual[i], LIMIT * usual[i]))
        };
        let (mut xx, mut xz, mut zz, mut xy, mut zy) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
        for [x, z, y] in pairs().map(clipped) {
            xx += x * x;
            xz += x * z;
            zz += z * z;
            xy += x * y;
            zy += z * y;
        }
        let (rx, rz) = (xx * (1.0 + RIDGE), zz * (1.0 + RIDGE) + f32::MIN_POSITIVE);
        let determinant = rx * rz - xz * xz;
        let (leading, own) = if zz > 0.0 && determinant > 0.0 {
            ((xy * rz - zy * xz) / determinant, (zy * rx - xy * xz) / determinant)
        } else {
            (xy / rx, 0.0)
        };
        // Absolute errors, as the quantiles are judged by them, too.
        let (mut with, mut without) = (0.0f32, 0.0f32);
        for [x, z, y] in pairs().map(clipped) {
            with += (y - leading * x - own * z).abs();
            without += (y - z).abs();
        }
        let sound = leading.is_finite() && own.is_finite() && with.is_finite() && without > 0.0;
        sound.then(|| Self { leader: leading, own, shrink: (with / without).clamp(LEAST_SHRINK, 1.0) })
    }
}
