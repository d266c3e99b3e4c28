//! `isobar insights`.

use super::output::{Output, Table, instant, or_dash, word};
use crate::client::Client;
use clap::Args;
use isobar_api::{InsightsInfo, InsightsQuery};
use isobar_model::ShardId;
use std::io::{self, Write};

/// Load by hour, low to high.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Hours shown of a shape: a day.
const DAY_HOURS: usize = 24;
/// Shards named of a long list; `--json` has them all.
const NAMED: usize = 12;

/// Of what.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  isobar insights\n  isobar insights --shard 7")]
pub struct Insights {
    /// Only what concerns this shard
    #[arg(long)]
    shard: Option<ShardId>,
}

impl Insights {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let found = client.insights(&InsightsQuery { shard: self.shard }).await?;
        output.show(&found, |out| draw(&found, out))
    }
}

fn draw(found: &InsightsInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} shards compared from {} to {}", found.compared, instant(found.from), instant(found.until))?;
    if found.omitted > 0 {
        writeln!(out, "{} left out: too little load, or too little history", found.omitted)?;
    }
    writeln!(out, "\nfollowers and their leaders")?;
    let mut links = Table::new(&["follower", "leader", "steps later", "correlation", "gain"]);
    for link in &found.links {
        links.row([
            link.follower.to_string(),
            link.leader.to_string(),
            link.lag_steps.to_string(),
            figure(link.strength),
            percent(link.gain),
        ]);
    }
    links.write(out)?;
    writeln!(out, "\nmoving together")?;
    let mut groups = Table::new(&["shards", "correlation"]);
    for group in &found.groups {
        groups.row([named(&group.shards), figure(group.strength)]);
    }
    groups.write(out)?;
    writeln!(out, "\nthe same shape (a usual day, from 00:00 UTC)")?;
    let mut clusters = Table::new(&["day", "load", "shards"]);
    for cluster in &found.clusters {
        clusters.row([day(&cluster.profile), percent(cluster.load_share), named(&cluster.shards)]);
    }
    clusters.write(out)?;
    if found.unclustered > 0 {
        writeln!(out, "{} shards have no shape that repeats", found.unclustered)?;
    }
    writeln!(out, "\nwhat goes with load")?;
    let mut drivers = Table::new(&["shard", "figure", "correlation", "load per unit", "by hour"]);
    for driver in &found.drivers {
        drivers.row([
            driver.shard.to_string(),
            word(&driver.kind),
            figure(driver.strength),
            figure(driver.slope),
            figure(driver.by_hour),
        ]);
    }
    drivers.write(out)
}

fn figure(value: Option<f32>) -> String {
    or_dash(value.map(|value| format!("{value:.2}")))
}

fn percent(share: Option<f32>) -> String {
    or_dash(share.map(|share| format!("{:.0} %", share * 100.0)))
}

fn named(shards: &[ShardId]) -> String {
    let names: Vec<String> = shards.iter().take(NAMED).map(ToString::to_string).collect();
    let more = shards.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", names.join(" ")) } else { names.join(" ") }
}

/// A shape's mean day as a line of bars.
fn day(profile: &[Option<f32>]) -> String {
    let hour = |hour: usize| {
        let same: Vec<f32> = profile.iter().skip(hour).step_by(DAY_HOURS).copied().flatten().collect();
        same.iter().sum::<f32>() / same.len().max(1) as f32
    };
    let hours: Vec<f32> = (0..DAY_HOURS.min(profile.len())).map(hour).collect();
    let highest = hours.iter().copied().fold(0.0, f32::max);
    let level = |value: f32| if highest > 0.0 { (value / highest * LEVELS.len() as f32) as usize } else { 0 };
    hours.into_iter().map(|value| LEVELS[level(value).min(LEVELS.len() - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_api::{ClusterInfo, DriverInfo, LinkInfo, TogetherInfo};
    use isobar_model::{DriverKind, InstantMs};

    #[test]
    fn each_finding_has_its_line() {
        let mut profile = vec![Some(0.0); 48];
        (profile[12], profile[36], profile[13]) = (Some(4.0), Some(2.0), None);
        let found = InsightsInfo {
            from: InstantMs(0),
            until: InstantMs(86_400_000),
            step_ms: 300_000,
            compared: 20,
            omitted: 2,
            links: vec![LinkInfo {
                follower: ShardId(7),
                leader: ShardId(3),
                lag_steps: 5,
                strength: Some(0.614),
                gain: Some(0.37),
            }],
            groups: vec![TogetherInfo { shards: vec![ShardId(3), ShardId(9)], strength: None }],
            clusters: vec![ClusterInfo { shards: (1..=14).map(ShardId).collect(), load_share: Some(0.5), profile }],
            unclustered: 4,
            drivers: vec![DriverInfo {
                shard: ShardId(7),
                kind: DriverKind::WriteShare,
                strength: Some(0.5),
                slope: Some(12.5),
                by_hour: None,
            }],
        };
        let mut out = Vec::new();
        draw(&found, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let line = |start: &str| {
            let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.find(|line| line.starts_with(start)).unwrap_or_default()
        };
        assert_eq!(line("20 shards"), "20 shards compared from 1970-01-01 00:00:00 to 1970-01-02 00:00:00");
        assert_eq!(line("2 left out"), "2 left out: too little load, or too little history");
        assert_eq!(line("7 3"), "7 3 5 0.61 37 %");
        assert_eq!(line("3 9"), "3 9 -");
        assert_eq!(line("▁"), "▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁ 50 % 1 2 3 4 5 6 7 8 9 10 11 12 and 2 more");
        assert_eq!(line("4 shards"), "4 shards have no shape that repeats");
        assert!(text.contains("write-share"), "{text}");
    }
}
