//! Whether it pays, in words.

use super::findings::Cell;
use super::interval::Interval;
use super::setting::Facts;
use crate::arm::Arm;
use serde::Serialize;

/// Overload below this share of all nodes' time is none: half a minute of one node a day, at six nodes.
const NO_OVERLOAD: f64 = 5e-5;
/// What a clairvoyant placer must save at least of the overload, per cent, for a forecast to be worth a look.
const LITTLE_PCT: f64 = 5.0;

/// Whether moving shards by forecast pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pays {
    /// There is no overload without it.
    NoOverload,
    /// Not even a clairvoyant placer gains much.
    NothingToGain,
    /// The whole interval of the gain lies above zero.
    Yes,
    /// The interval of the gain holds zero.
    Unclear,
    /// The whole interval lies below zero.
    No,
}

impl Pays {
    /// `best` and `ours`: overload of the best arm without forecast and of the predictive one, as shares of all nodes' time.
    pub(super) fn of(best: f64, ours: f64, gain_pct: Interval, gainable_pct: Interval) -> Self {
        if gain_pct.high < 0.0 || (best < NO_OVERLOAD && ours >= NO_OVERLOAD) {
            Self::No
        } else if best < NO_OVERLOAD {
            Self::NoOverload
        } else if gainable_pct.mid < LITTLE_PCT {
            Self::NothingToGain
        } else if gain_pct.low > 0.0 {
            Self::Yes
        } else {
            Self::Unclear
        }
    }
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether it pays in the cell that the sentence speaks of.
    pub pays: Pays,
    /// Its headroom.
    pub headroom: f64,
    /// Its lead time.
    pub lead_steps: usize,
    /// One sentence.
    pub sentence: String,
    /// What to do, and what else to know, each a sentence.
    pub advice: Vec<String>,
}

impl Verdict {
    pub(super) fn of(facts: &Facts, cells: &[Cell]) -> Self {
        let Some(cell) = middle(cells) else {
            return Self {
                pays: Pays::Unclear,
                headroom: f64::NAN,
                lead_steps: 0,
                sentence: "Nothing was asked.".into(),
                advice: Vec::new(),
            };
        };
        let lead = duration(cell.lead_steps as u64 * u64::from(facts.step_ms));
        let window = duration(facts.window_steps as u64 * u64::from(facts.step_ms));
        let moves = |arm| cell.arm(arm).map_or(0.0, |figures| figures.moves.mid);
        let (ours, best) = (moves(Arm::Predictive), best_in_words(cell.best_without));
        let gain = cell.gain_pct;
        let at = format!("At headroom {}, with moves that take {lead},", cell.headroom);
        let sentence = match cell.pays {
            Pays::Yes => format!(
                "{at} moving shards by forecast would have removed {} of the overload that is left by the best placement without one ({best}), with {ours:.0} moves in {window}.",
                range(gain)
            ),
            Pays::Unclear => format!(
                "{at} it can't be told whether moving shards by forecast would have helped: it would have removed {} of the overload that is left by the best placement without one ({best}), with {ours:.0} moves in {window}.",
                range(gain)
            ),
            Pays::No if !gain.mid.is_finite() => format!(
                "{at} moving shards by forecast would not have paid: {best} leaves no overload, and moving by forecast left some."
            ),
            Pays::No => format!(
                "{at} moving shards by forecast would not have paid: overload would have been {} above that of the best placement without one ({best}).",
                range(Interval { mid: -gain.mid, low: -gain.high, high: -gain.low })
            ),
            Pays::NoOverload => format!(
                "{at} there is no overload that moving shards could remove: {} is enough.",
                best_in_words(cell.best_without)
            ),
            Pays::NothingToGain => format!(
                "{at} moving shards has next to nothing to remove: even a placer that knows the future would have removed {} of the overload that is left by {best}.",
                range(cell.gainable_pct)
            ),
        };
        Self {
            pays: cell.pays,
            headroom: cell.headroom,
            lead_steps: cell.lead_steps,
            sentence,
            advice: advice(facts, cell, cells),
        }
    }
}

fn advice(facts: &Facts, cell: &Cell, cells: &[Cell]) -> Vec<String> {
    let mut advice = Vec::new();
    let list = |pays: &dyn Fn(Pays) -> bool| -> Vec<String> {
        let mut headrooms: Vec<f64> = cells.iter().map(|cell| cell.headroom).collect();
        headrooms.sort_by(f64::total_cmp);
        headrooms.dedup();
        let all = |headroom: &f64| cells.iter().filter(|cell| cell.headroom == *headroom).all(|cell| pays(cell.pays));
        headrooms.iter().filter(|headroom| all(headroom)).map(|headroom| format!("{headroom}")).collect()
    };
    let (yes, no) = (list(&|pays| pays == Pays::Yes), list(&|pays| pays != Pays::Yes));
    let leads = |cells: &[Cell]| cells.iter().any(|other| other.lead_steps != cells[0].lead_steps);
    let every = if leads(cells) { ", whatever the lead time" } else { "" };
    if yes.is_empty() && no.is_empty() {
        advice.push(
            "Whether it pays depends on how long moves take: measure yours, and turn automatic moves on where the table says yes.".into(),
        );
    }
    if !yes.is_empty() {
        advice.push(format!(
            "It pays at headroom {}{every}: automatic moves (mode auto) are worth turning on there.",
            words(&yes)
        ));
    }
    if !no.is_empty() {
        advice.push(format!(
            "It does not pay, or can't be told to pay, at headroom {}{every}: leave the mode at advise there.",
            words(&no)
        ));
    }
    let overload = |arm| cell.arm(arm).map_or(f64::NAN, |figures| figures.overload_node_s.mid);
    let (still, packed) = (overload(Arm::Static), overload(Arm::Packed));
    if still > 0.0 && packed < 0.9 * still {
        let moved = cell.arm(Arm::Packed).map_or(0.0, |figures| figures.moves.mid);
        advice.push(format!(
            "Placing shards once by their history, which takes {moved:.0} moves from a random start, would already have removed {:.0} % of a random placement's overload.",
            100.0 * (1.0 - packed / still)
        ));
    } else if still > 0.0 && packed > 1.1 * still {
        advice.push(
            "History does not tell where load will be: a placement packed on it has more overload than a random one."
                .into(),
        );
    }
    if facts.window_peak_share > cell.headroom {
        advice.push(format!(
            "The highest load of the window was {:.2} times the usual peak of the history, above headroom {}: some overload could be avoided by more nodes only.",
            facts.window_peak_share, cell.headroom
        ));
    }
    if let Some(equal) = cell.equal_headroom.filter(|equal| *equal > cell.headroom + 0.005) {
        advice.push(format!(
            "Without a forecast it takes headroom {equal:.2} to have as little overload: {:.0} % more nodes.",
            100.0 * (equal / cell.headroom - 1.0)
        ));
    }
    if facts.unsplittable_units > 0 {
        advice.push(format!(
            "{} shards are hotter than the share of a node asked for and can't be split further, because single keys are that hot: no placement helps there, only a cache or other keys do.",
            facts.unsplittable_units
        ));
    }
    advice
}

/// The cell that speaks for all: the middle headroom and the middle lead.
fn middle(cells: &[Cell]) -> Option<&Cell> {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.dedup();
        values.get(values.len() / 2).copied()
    };
    let headroom = middle(cells.iter().map(|cell| cell.headroom).collect())?;
    let lead = middle(cells.iter().map(|cell| cell.lead_steps as f64).collect())?;
    cells.iter().find(|cell| cell.headroom == headroom && cell.lead_steps as f64 == lead)
}

fn best_in_words(arm: Arm) -> &'static str {
    match arm {
        Arm::Static => "a random one, left alone",
        Arm::Packed => "packed once on the history",
        Arm::Reactive => "moving once a node is overloaded",
        Arm::Predictive => "moving by forecast",
        Arm::Clairvoyant => "knowing the future",
    }
}

/// `34 % (between 21 and 41 %)`
fn range(interval: Interval) -> String {
    let whole = |value: f64| {
        if value.is_finite() {
            format!("{:.0}", value + 0.0).replace("-0", "0").replace('-', "−")
        } else {
            "any".into()
        }
    };
    format!("{} % (between {} and {} %)", whole(interval.mid), whole(interval.low), whole(interval.high))
}

fn words(list: &[String]) -> String {
    match list {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `30 min`, `10 days`
fn duration(ms: u64) -> String {
    let s = ms as f64 / 1000.0;
    let (value, unit) = match s {
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3_600.0, "hours"),
        s => (s / 86_400.0, "days"),
    };
    let text = if (value - value.round()).abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pct(mid: f64, low: f64, high: f64) -> Interval {
        Interval { mid, low, high }
    }

    #[test]
    fn it_pays_only_where_the_whole_interval_does() {
        let gainable = pct(50.0, 40.0, 60.0);
        assert_eq!(Pays::of(0.01, 0.01, pct(30.0, 10.0, 40.0), gainable), Pays::Yes);
        assert_eq!(Pays::of(0.01, 0.01, pct(30.0, -1.0, 40.0), gainable), Pays::Unclear);
        assert_eq!(Pays::of(0.01, 0.01, pct(-30.0, -50.0, -1.0), gainable), Pays::No);
        assert_eq!(Pays::of(0.01, 0.01, pct(1.0, 0.5, 2.0), pct(3.0, 2.0, 4.0)), Pays::NothingToGain);
        assert_eq!(Pays::of(0.0, 0.0, pct(0.0, 0.0, 0.0), pct(0.0, 0.0, 0.0)), Pays::NoOverload);
        assert_eq!(Pays::of(0.0, 0.1, pct(f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0), gainable), Pays::No);
    }

    #[test]
    fn figures_are_said_as_people_say_them() {
        assert_eq!(range(pct(34.4, 20.6, 41.0)), "34 % (between 21 and 41 %)");
        assert_eq!(range(pct(-0.2, -3.0, 2.0)), "0 % (between −3 and 2 %)");
        assert_eq!(
            (duration(1_800_000).as_str(), duration(864_000_000).as_str(), duration(5_000).as_str()),
            ("30 min", "10 days", "5 s")
        );
        assert_eq!(words(&["1.1".into(), "1.3".into(), "1.5".into()]), "1.1, 1.3 and 1.5");
    }
}
