use crate::config::Config;
use forecasting_kit::{Ask, Ring, Scratch, Seasons, SeriesModel};
use serde::{Deserialize, Serialize};

/// Quantiles of one member, as [`SeriesModel::forecast`] writes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// `values[level * horizon + step]`.
    pub(crate) values: Vec<f32>,
    /// `peaks[level]`, or empty.
    pub(crate) peaks: Vec<f32>,
}

/// What is asked of all members, whatever their kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) first: u64,
    pub(crate) horizon: usize,
    pub(crate) levels: &'a [f32],
    pub(crate) peak_steps: usize,
}

macro_rules! members {
    ($($(#[$doc:meta])* $field:ident: $module:ident),* $(,)?) => {
        /// How many models are mixed.
        pub(crate) const MEMBERS: usize = [$(stringify!($field)),*].len();

        /// The models that are mixed, each fed with the same steps.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) struct Members {
            $($(#[$doc])* pub(crate) $field: $module::Series,)*
        }

        /// The members' configurations.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct MemberConfigs {
            $(pub(crate) $field: $module::Config,)*
        }

        impl Members {
            pub(crate) fn new(config: &Config, seasons: &Seasons, first: u64, phase: u64) -> Self {
                Self { $($field: $module::Series::new(&config.members.$field, seasons, first, phase),)* }
            }

            /// Steps that the one looks back on which looks back furthest.
            pub(crate) fn history_steps(config: &Config, seasons: &Seasons) -> usize {
                let steps = [$($module::Series::history_steps(&config.members.$field, seasons)),*];
                steps.into_iter().fold(0, usize::max)
            }

            pub(crate) fn push(
                &mut self,
                config: &Config,
                seasons: &Seasons,
                history: &Ring,
                value: f32,
                to_come: usize,
            ) {
                $(self.$field.push(&config.members.$field, seasons, history, value, to_come);)*
            }

            pub(crate) fn is_ready(&self) -> bool {
                $(self.$field.is_ready())&&*
            }

            pub(crate) fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
                $(self.$field.is_sound(&config.members.$field, seasons, next))&&*
            }

            /// What each member says of a few leads, in order: `[level * leads.len() + i]`.
            pub(crate) fn answers_at(
                &self,
                config: &Config,
                seasons: &Seasons,
                history: &Ring,
                levels: &[f32],
                leads: &[u64],
                scratch: &mut Scratch,
            ) -> [Vec<f32>; MEMBERS] {
                [$({
                    let config = &config.members.$field;
                    let ask = Ask { config, seasons, history, first: 1, horizon: 0, levels, peak_steps: 0, leaders: &[] };
                    let mut values = vec![0.0; levels.len() * leads.len()];
                    self.$field.forecast_at(&ask, leads, scratch, &mut values);
                    values
                }),*]
            }

            /// Each member's answer, in order.
            pub(crate) fn answers(
                &self,
                config: &Config,
                seasons: &Seasons,
                history: &Ring,
                question: Question<'_>,
                scratch: &mut Scratch,
            ) -> [Answer; MEMBERS] {
                let Question { first, horizon, levels, peak_steps } = question;
                [$({
                    let ask = Ask { config: &config.members.$field, seasons, history, first, horizon, levels, peak_steps, leaders: &[] };
                    let peaks = if peak_steps > 0 { levels.len() } else { 0 };
                    let mut answer = Answer { values: vec![0.0; levels.len() * horizon], peaks: vec![0.0; peaks] };
                    self.$field.forecast(&ask, scratch, &mut answer.values, &mut answer.peaks);
                    answer
                }),*]
            }
        }
    };
}

members! {
    /// The same time on earlier days.
    naive: seasonal_naive,
    /// One network for all shards.
    net: lstm,
    /// Regression on the season and the recent past.
    spar: spar,
}

impl MemberConfigs {
    /// The members' defaults, but for how fast errors are forgotten where that is said.
    pub(crate) fn new(error_half_life_days: Option<f32>) -> Self {
        let mut configs = Self::default();
        if let Some(days) = error_half_life_days {
            configs.naive.error_half_life_days = days;
            configs.spar.error_half_life_days = days;
        }
        configs
    }
}
