//! The plots.

use crate::chart::{Anchor, FAINT, INK, Svg, TEXT, heading_width, short, text_width, tick};
use crate::entrant::{Entrant, Kind, Track};
use isobar_analyzer::track::{LEVELS, Series};

const MARGIN: f64 = 16.0;
const ROW: f64 = 19.0;
const BAR: f64 = 13.0;
const BARS_WIDTH: f64 = 380.0;
const PLOT_WIDTH: f64 = 560.0;
const PLOT_HEIGHT: f64 = 300.0;
const SQUARE: f64 = 400.0;
/// Colours that people who see few colours tell apart, too (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];
const POLICY: &str = "#0072b2";
const GUARDED: &str = "#009e73";
const PEER: &str = "#9aa5b1";

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Policy => POLICY,
        Kind::Guarded => GUARDED,
        Kind::Peer => PEER,
    }
}

/// Those who forecast every origin of the track: only they can be set side by side.
fn complete<'a>(track: &'a Track, entrants: &'a [Entrant]) -> impl Iterator<Item = &'a Entrant> {
    let all = track.origins();
    entrants.iter().filter(move |e| e.by_track.get(&track.name).is_some_and(|entry| entry.origins == all))
}

/// How long so many steps are.
pub(crate) fn duration(steps: usize, step_s: u32) -> String {
    let seconds = steps as u64 * u64::from(step_s);
    match seconds {
        s if s.is_multiple_of(86_400) => format!("{} d", s / 86_400),
        s if s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        s => format!("{} min", s / 60),
    }
}

/// Bars of the scaled pinball loss, by horizon; the best on top.
pub(crate) fn loss_bars(track: &Track, entrants: &[Entrant]) -> String {
    let rows: Vec<&Entrant> = complete(track, entrants).collect();
    let horizons = track.horizons();
    let step_s = track.series.first().map_or(0, |series| series.step_s);
    let spl = |entrant: &Entrant, horizon: usize| {
        let task = entrant.by_track.get(&track.name).and_then(|entry| entry.score.horizons.get(&horizon));
        task.map_or(f64::NAN, |task| task.spl)
    };
    let most = rows.iter().flat_map(|e| horizons.iter().map(|h| spl(e, *h))).fold(1e-9, f64::max);
    let names = rows.iter().map(|e| text_width(&e.name)).fold(0.0, f64::max);
    let left = MARGIN + names + 10.0;
    let heading = format!("Scaled pinball loss on {}: lower is better", track.name);
    let width = left + BARS_WIDTH + text_width("0.000") + MARGIN + 8.0;
    let width = width.max(heading_width(&heading) + 2.0 * MARGIN);
    let legend_height = 46.0;
    let height = legend_height + horizons.len() as f64 * (rows.len() as f64 * ROW + 34.0) + MARGIN;
    let mut svg = Svg::new(width, height);
    svg.heading(MARGIN, 20.0, &heading);
    let mut x = MARGIN;
    for (text, kind) in [("policy", Kind::Policy), ("with the fallback", Kind::Guarded), ("peer", Kind::Peer)] {
        svg.rect(x, 30.0, 11.0, 11.0, colour(kind));
        svg.text(x + 16.0, 40.0, Anchor::Start, text);
        x += 16.0 + text_width(text) + 16.0;
    }
    let mut y = legend_height + 6.0;
    for horizon in horizons {
        svg.text(MARGIN, y + 12.0, Anchor::Start, &format!("{horizon} steps ahead ({})", duration(horizon, step_s)));
        y += 20.0;
        let mut rows: Vec<_> = rows.iter().map(|e| (spl(e, horizon), e)).filter(|(spl, _)| spl.is_finite()).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (spl, entrant) in rows {
            svg.text(left - 8.0, y + 11.0, Anchor::End, &entrant.name);
            svg.rect(left, y, spl / most * BARS_WIDTH, BAR, colour(entrant.kind));
            svg.text(left + spl / most * BARS_WIDTH + 6.0, y + 11.0, Anchor::Start, &format!("{spl:.3}"));
            y += ROW;
        }
        y += 14.0;
    }
    svg.finish(&format!("Scaled pinball loss on {}", track.name))
}

/// Share of loads up to each quantile's forecast, against the quantile.
pub(crate) fn reliability(track: &Track, entrants: &[Entrant]) -> String {
    let rows: Vec<&Entrant> =
        complete(track, entrants).filter(|e| e.kind == Kind::Policy || e.name == "daily-naive").collect();
    let names = rows.iter().map(|e| text_width(&e.name)).fold(text_width("perfect"), f64::max);
    let (left, top) = (58.0, 40.0);
    let heading = format!("Reliability on {}: loads at or below each quantile", track.name);
    let width = (left + SQUARE + 46.0 + names + MARGIN).max(heading_width(&heading) + 2.0 * MARGIN);
    let mut svg = Svg::new(width, top + SQUARE + 58.0);
    svg.heading(MARGIN, 20.0, &heading);
    let at = |nominal: f64, seen: f64| (left + nominal * SQUARE, top + (1.0 - seen) * SQUARE);
    for part in 0..=5 {
        let share = f64::from(part) / 5.0;
        svg.line(&[at(share, 0.0), at(share, 1.0)], FAINT, 1.0);
        svg.line(&[at(0.0, share), at(1.0, share)], FAINT, 1.0);
        svg.text(left - 8.0, at(0.0, share).1 + 4.0, Anchor::End, &format!("{:.0} %", 100.0 * share));
        svg.text(at(share, 0.0).0, top + SQUARE + 18.0, Anchor::Middle, &format!("{share:.1}"));
    }
    svg.text(left + SQUARE / 2.0, top + SQUARE + 40.0, Anchor::Middle, "quantile forecast");
    svg.line(&[at(0.0, 0.0), at(1.0, 1.0)], INK, 1.0);
    let mut legend = vec![("perfect", INK)];
    for (number, entrant) in rows.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let Some(entry) = entrant.by_track.get(&track.name) else { continue };
        let points: Vec<_> =
            LEVELS.iter().zip(entry.reached).map(|((_, level), seen)| at(f64::from(*level), seen)).collect();
        svg.line(&points, colour, 1.5);
        points.iter().for_each(|(x, y)| svg.dot(*x, *y, colour));
        legend.push((&entrant.name, colour));
    }
    for (number, (name, colour)) in legend.into_iter().enumerate() {
        let y = top + 12.0 + number as f64 * ROW;
        svg.rect(left + SQUARE + 20.0, y - 9.0, 14.0, 9.0, colour);
        svg.text(left + SQUARE + 40.0, y, Anchor::Start, name);
    }
    svg.finish(&format!("Reliability on {}", track.name))
}

/// How far a day's load is from the day before's, as a share of how far it is from the mean: little where days are alike.
fn strangeness(series: &Series) -> f64 {
    let y = &series.y;
    let known = y.iter().filter(|load| load.is_finite());
    let mean = known.clone().sum::<f64>() / known.clone().count().max(1) as f64;
    let changes = y.iter().skip(series.day_steps).zip(y).map(|(now, then)| (now - then).abs());
    let spread = known.map(|load| (load - mean).abs()).sum::<f64>();
    changes.filter(|change| change.is_finite()).sum::<f64>() / spread.max(1e-9)
}

/// A forecast of a day with what then occurred, at the last origin of a series whose days are more alike than those of three in four: an
/// example to look at, no measure.
pub(crate) fn fan(track: &Track, policy: &Entrant) -> Option<String> {
    let mut series: Vec<&Series> = track.series.iter().collect();
    series.sort_by(|a, b| strangeness(a).total_cmp(&strangeness(b)));
    let series = series.get(series.len() / 4)?;
    let origin = *series.origins.last()?;
    let entry = policy.by_track.get(&track.name)?;
    let forecast = entry.forecasts.iter().find(|f| f.id == series.id && f.origin == origin)?;
    let (from, to) = (origin.saturating_sub(2 * series.day_steps), origin + series.horizon());
    let most = series.y[from..to].iter().chain(&forecast.paths[3]).copied().fold(1e-9, f64::max);
    let step = tick(most, 8.0);
    let most = (most / step).ceil() * step;
    let labels: Vec<f64> = (0..=(most / step).round() as usize).map(|k| k as f64 * step).collect();
    let left = MARGIN + labels.iter().map(|label| text_width(&short(*label))).fold(0.0, f64::max) + 8.0;
    let top = 58.0;
    let heading = format!("{} by {}, a day ahead, and what then occurred", series.id, policy.name);
    let width = (left + PLOT_WIDTH + MARGIN + 20.0).max(heading_width(&heading) + 2.0 * MARGIN);
    let mut svg = Svg::new(width, top + PLOT_HEIGHT + 40.0);
    let at = |step: usize, load: f64| {
        let x = left + (step - from) as f64 / (to - from) as f64 * PLOT_WIDTH;
        (x, top + (1.0 - load.min(most) / most) * PLOT_HEIGHT)
    };
    svg.heading(MARGIN, 20.0, &heading);
    let mut x = MARGIN;
    let bands = [("#cfe5f2", 0, 3, "0.05 to 0.95"), ("#9ccae3", 1, 2, "0.5 to 0.9")];
    let legend = bands.map(|(fill, .., name)| (fill, name));
    for (fill, name) in legend.into_iter().chain([(POLICY, "median"), (INK, "load")]) {
        svg.rect(x, 32.0, 14.0, 11.0, fill);
        svg.text(x + 19.0, 42.0, Anchor::Start, name);
        x += 19.0 + text_width(name) + 14.0;
    }
    for label in labels {
        svg.line(&[at(from, label), at(to, label)], FAINT, 1.0);
        svg.text(left - 6.0, at(from, label).1 + TEXT / 3.0, Anchor::End, &short(label));
    }
    let path =
        |level: usize| forecast.paths[level].iter().enumerate().map(move |(step, value)| (origin + step, *value));
    for (fill, low, high, _) in bands {
        let mut edge: Vec<_> = path(high).map(|(step, value)| at(step, value)).collect();
        let mut below: Vec<_> = path(low).map(|(step, value)| at(step, value)).collect();
        below.reverse();
        edge.extend(below);
        svg.area(&edge, fill);
    }
    let known = |range: std::ops::Range<usize>| range.filter(|step| !series.y[*step].is_nan());
    let load: Vec<_> = known(from..to).map(|step| at(step, series.y[step])).collect();
    svg.line(&load, INK, 1.0);
    let median: Vec<_> = path(1).map(|(step, value)| at(step, value)).collect();
    svg.line(&median, POLICY, 1.8);
    svg.line(&[at(origin, 0.0), at(origin, most)], "#d55e00", 1.2);
    let hours = |steps: usize| duration(steps, series.step_s);
    let y = top + PLOT_HEIGHT + 20.0;
    svg.text(at(from, 0.0).0, y, Anchor::Start, &format!("{} before", hours(origin - from)));
    svg.text(at(origin, 0.0).0, y, Anchor::Middle, "now");
    svg.text(at(to, 0.0).0, y, Anchor::End, &format!("{} ahead", hours(to - origin)));
    Some(svg.finish(&format!("A forecast of {}", series.id)))
}
