use crate::config::Config;
use crate::shard::{CARRIED, FEATURES, LED};
use forecasting_kit::{Reach, Season, Seasons, exp2, log2};

/// Samples that the belief about each feature weighs as much as: own offsets, guesses, the calendar, the cluster, leaders.
const STIFFNESS: [f32; FEATURES] =
    [9.0, 9.0, 9.0, 9.0, 9.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 20.0, 20.0, 9.0];
/// Samples nearer to each other than the lead say much the same: for each such one, beliefs weigh so much more.
const ALIKE: f32 = 0.4;
/// Days after which a sample counts half, in those configured: of the next step, and of a day ahead. The farther ahead, the fewer samples
/// are independent, and the longer they must be kept.
const HALF_LIVES: (f32, f32) = (0.5, 1.2);
/// Errors of maxima count half after so many of the half-lives configured: there are few of them, and what matters is the largest.
const PEAK_HALF_LIVES: f32 = 4.0;
/// What a leader's offset, times the strength of the link, is believed to be worth beforehand.
const BELIEVED_OF_LEADERS: f32 = 0.5;
const HOURS_OF_DAY: u64 = 24;

/// What is settled once the length of a step is known.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) seasons: Seasons,
    pub(crate) weeks: u8,
    pub(crate) history_steps: usize,
    /// Steps of an hour, at least 1.
    pub(crate) hour: u64,
    /// For each lead at which something is learnt.
    pub(crate) leads: Vec<LeadTerms>,
}

/// What is settled of one lead.
#[derive(Debug)]
pub(crate) struct LeadTerms {
    pub(crate) lead: u64,
    pub(crate) reach: Reach,
    /// The share of its weight that a sample keeps until the next one, and the error of a maximum until the next.
    pub(crate) keep: f32,
    pub(crate) peak_keep: f32,
    /// The coefficients believed in beforehand: an offset is there at first, half gone after the root of a day's steps, gone in a day.
    pub(crate) belief: [f32; FEATURES],
    pub(crate) stiffness: [f32; FEATURES],
}

impl Terms {
    pub(crate) fn new(step_ms: u32, config: &Config) -> Self {
        let seasons = Seasons::new(step_ms, config.error_half_life_days);
        let (day, bands) = (seasons.day, &seasons.bands);
        let leads = bands.leads().iter().enumerate().map(|(band, &lead)| {
            let reach = Reach::new(day, lead);
            let half_life = HALF_LIVES.0 + reach.log_share * (HALF_LIVES.1 - HALF_LIVES.0);
            let alike = 1.0 + ALIKE * reach.share * bands.samples_a_day() as f32;
            let mut belief = [0.0; FEATURES];
            (belief[CARRIED], belief[LED]) = (1.0 - reach.log_share, BELIEVED_OF_LEADERS);
            LeadTerms {
                lead,
                reach,
                keep: exp2(log2(bands.keep()) / half_life),
                peak_keep: exp2(log2(bands.window_keep(band)) / PEAK_HALF_LIVES),
                belief,
                stiffness: STIFFNESS.map(|samples| samples * alike),
            }
        });
        Self {
            leads: leads.collect(),
            weeks: config.weeks,
            history_steps: Season::history_steps(config.weeks, day),
            hour: (day / HOURS_OF_DAY).max(1),
            seasons,
        }
    }
}
