//! `isobar shard profile`.

use super::output::{Output, Table, instant};
use crate::client::Client;
use isobar_api::ShardProfileInfo;
use isobar_model::ShardId;
use std::io::{self, Write};

pub(super) async fn show(client: &Client, output: &Output, id: ShardId) -> anyhow::Result<()> {
    let profile = client.shard_profile(id).await?;
    output.show(&profile, |out| draw(&profile, out))
}

fn draw(profile: &ShardProfileInfo, out: &mut dyn Write) -> io::Result<()> {
    let ShardProfileInfo { shard, node, from, until, .. } = profile;
    writeln!(out, "shard {shard} on node {node}, {} to {}", instant(*from), instant(*until))?;
    if profile.requests == 0 {
        return writeln!(out, "no request came");
    }
    let error =
        if profile.requests_error > 0.0 { format!(" ± {}", percent(profile.requests_error)) } else { String::new() };
    writeln!(out, "{} requests{error}, {} looked at, 1 in {} now", profile.requests, profile.sampled, profile.every)?;
    if profile.sampling_error > 0.0 {
        writeln!(out, "sampling adds ± {} to shares at most", percent(profile.sampling_error))?;
    }
    if profile.missed > 0 {
        writeln!(out, "{} on this node were passed over rather than wait", profile.missed)?;
    }
    let distinct = (profile.distinct_keys, percent(profile.distinct_error));
    writeln!(out, "{:.0} different keys among them ± {}", distinct.0, distinct.1)?;
    if let Some(skew) = profile.key_skew {
        writeln!(out, "two load units fall on the same key with a chance of {}", percent(f64::from(skew)))?;
    }
    writeln!(out)?;
    let mut operations = Table::new(&["operation", "requests", "share", "bytes per op"]);
    for o in &profile.operations {
        operations.row([
            o.operation.clone(),
            o.requests.to_string(),
            percent(o.share),
            format!("{:.1}", o.bytes_per_op),
        ]);
    }
    operations.write(out)?;
    if let Some(latency) = &profile.latency_us {
        writeln!(out, "\nlatency in milliseconds, ± {}", percent(latency.error))?;
        let mut table = Table::new(&["50 %", "90 %", "99 %", "99.9 %"]);
        table.row([latency.p50, latency.p90, latency.p99, latency.p999].map(|us| format!("{:.3}", us / 1_000.0)));
        table.write(out)?;
    }
    writeln!(out, "\nhot keys")?;
    let mut hot = Table::new(&["key", "load at least", "at most"]);
    for key in &profile.hot_keys {
        let dots = if key.goes_on { "..." } else { "" };
        hot.row([format!("{}{dots}", key.key), percent(key.at_least), percent(key.at_most)]);
    }
    hot.write(out)?;
    writeln!(out, "\nwhere to split")?;
    let mut splits = Table::new(&["before key", "load on the left", "error"]);
    for point in &profile.split_points {
        splits.row([point.boundary.clone(), percent(point.left_share), format!("± {}", percent(point.error))]);
    }
    splits.write(out)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_api::{HotKey, LatencyQuantiles, OperationShare, SplitPoint};
    use isobar_model::{InstantMs, NodeId};

    fn drawn(profile: &ShardProfileInfo) -> String {
        let mut out = Vec::new();
        draw(profile, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_finding_has_its_line_with_its_error() {
        let operation = "get".to_owned();
        let profile = ShardProfileInfo {
            shard: ShardId(7),
            node: NodeId(3),
            from: InstantMs(0),
            until: InstantMs(60_000),
            every: 4,
            sampled: 1_500,
            missed: 2,
            requests: 6_000,
            requests_error: 0.0224,
            sampling_error: 0.0129,
            operations: vec![OperationShare { operation, requests: 6_000, share: 1.0, bytes_per_op: 118.5 }],
            latency_us: Some(LatencyQuantiles { p50: 210.0, p90: 480.0, p99: 1_900.0, p999: 4_600.0, error: 0.0625 }),
            distinct_keys: 812.4,
            distinct_error: 0.023,
            key_skew: Some(0.113),
            hot_keys: vec![HotKey { key: "user/7".into(), goes_on: true, at_least: 0.31, at_most: 0.32 }],
            split_points: vec![SplitPoint { boundary: "g".into(), left_share: 0.5, error: 0.02 }],
        };
        let text = drawn(&profile);
        for line in [
            "shard 7 on node 3, 1970-01-01 00:00:00 to 1970-01-01 00:01:00",
            "6000 requests ± 2.2 %, 1500 looked at, 1 in 4 now",
            "sampling adds ± 1.3 % to shares at most",
            "2 on this node were passed over rather than wait",
            "812 different keys among them ± 2.3 %",
            "two load units fall on the same key with a chance of 11.3 %",
            "get 6000 100.0 % 118.5",
            "0.210 0.480 1.900 4.600",
            "user/7... 31.0 % 32.0 %",
            "g 50.0 % ± 2.0 %",
        ] {
            assert!(text.lines().any(|drawn| drawn == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn silence_is_said() {
        let silent = ShardProfileInfo { until: InstantMs(60_000), ..ShardProfileInfo::default() };
        assert!(drawn(&silent).ends_with("no request came"));
    }
}
