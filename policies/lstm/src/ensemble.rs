use crate::features::{Ahead, Features};
use crate::network::{Answer, Network, Pass, Widths};
use crate::peak::PeakGatherer;
use crate::quantiles::LEVELS;
use crate::weights::{Damage, Reader};
use std::sync::LazyLock;

/// The weights, as trained.
const WEIGHTS: &[u8] = include_bytes!("../weights.bin");

static EMBEDDED: LazyLock<Result<Ensemble, Damage>> = LazyLock::new(|| Ensemble::read(WEIGHTS));

/// A few networks of one shape, trained from different beginnings: the mean of their quantiles is better than any one's.
#[derive(Debug)]
pub(crate) struct Ensemble {
    networks: Vec<Network>,
}

/// One forecast being made.
#[derive(Debug)]
pub(crate) struct Forecasting<'a> {
    members: Vec<(Pass<'a>, PeakGatherer)>,
}

impl Ensemble {
    /// The one this policy is built with; `None` where its file is damaged, which a test excludes.
    pub(crate) fn embedded() -> Option<&'static Self> {
        EMBEDDED.as_ref().ok()
    }

    fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let mut reader = Reader::new(bytes)?;
        let widths = Widths::read(&mut reader)?;
        let count = reader.width()?;
        let networks = (0..count).map(|_| Network::read(&mut reader, &widths)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { networks })
    }

    pub(crate) fn begin(&self, features: &Features) -> Forecasting<'_> {
        let member = |network| (Network::pass(network, features), PeakGatherer::new());
        Forecasting { members: self.networks.iter().map(member).collect() }
    }
}

impl Forecasting<'_> {
    /// Quantiles of one step; `gather`: the maximum asked for covers it.
    pub(crate) fn step(&mut self, ahead: &Ahead, gather: bool) -> Answer {
        mean(self.members.iter_mut().map(|(pass, gatherer)| {
            let answer = pass.step(ahead);
            if gather {
                gatherer.add(ahead, &answer);
            }
            answer
        }))
    }

    /// Quantiles of the maximum over the steps gathered; days have `day` steps.
    pub(crate) fn peak(&self, day: i64) -> Answer {
        mean(self.members.iter().map(|(pass, gatherer)| pass.peak(&gatherer.features(day))))
    }
}

fn mean(answers: impl ExactSizeIterator<Item = Answer>) -> Answer {
    let share = 1.0 / answers.len() as f32;
    let mut mean = [0.0; LEVELS.len()];
    for answer in answers {
        for (mean, z) in mean.iter_mut().zip(answer) {
            *mean += z * share;
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_whole_and_within_their_limit() {
        assert!(Ensemble::read(WEIGHTS).is_ok_and(|ensemble| !ensemble.networks.is_empty()));
        assert!(WEIGHTS.len() <= 200_000, "{}", WEIGHTS.len());
    }
}
