//! `isobar policy bind|rollback|status`.

use super::output::{Output, Table, or_dash, word};
use super::policies;
use crate::client::Client;
use anyhow::Context;
use clap::{Args, ValueEnum};
use isobar_api::{BindingInfo, SetBinding};
use isobar_model::{Digest, Role};
use std::collections::BTreeMap;

/// What a policy is for.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum RoleArg {
    /// Forecasts load
    Forecast,
    /// Proposes moves
    Place,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Forecast => Self::Forecast,
            RoleArg::Place => Self::Place,
        }
    }
}

/// A binding to be set.
#[derive(Args, Clone, Debug)]
pub struct Bind {
    /// The role
    role: RoleArg,
    /// A digest or the beginning of one, a policy's name, or `builtin`
    policy: String,
    /// For this keyspace only
    #[arg(long)]
    keyspace: Option<String>,
    /// Its configuration: JSON, or @FILE
    #[arg(long, default_value = "{}", value_name = "JSON")]
    config: String,
    /// Only where the binding is still at this number; the number in force where left out
    #[arg(long, value_name = "NUMBER")]
    expected: Option<u64>,
}

impl Bind {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let role = self.role.into();
        let config = match self.config.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("{file} can't be read"))?,
            None => self.config,
        };
        let config = serde_json::from_str(&config).context("the configuration is no JSON")?;
        let revision = match self.policy.as_str() {
            "builtin" => None,
            wanted => Some(policies::find(client, wanted).await?.digest.to_string()),
        };
        let keyspace = self.keyspace.as_deref();
        let expected = match self.expected {
            Some(expected) => expected,
            None => client.binding(role, keyspace).await?.number,
        };
        let bound = client.bind(role, keyspace, &SetBinding { revision, config, expected }).await?;
        show(output, &bound)
    }
}

/// A roll-back.
#[derive(Args, Clone, Debug)]
pub struct RollBack {
    /// The role
    role: RoleArg,
    /// For this keyspace only
    #[arg(long)]
    keyspace: Option<String>,
    /// Only where the binding is still at this number
    #[arg(long, value_name = "NUMBER")]
    expected: Option<u64>,
}

impl RollBack {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        show(output, &client.roll_back(self.role.into(), self.keyspace.as_deref(), self.expected).await?)
    }
}

fn show(output: &Output, bound: &BindingInfo) -> anyhow::Result<()> {
    output.show(bound, |out| {
        let scope = bound.keyspace.as_deref().map_or_else(|| "all keyspaces".to_owned(), |k| format!("keyspace {k}"));
        let what =
            bound.revision.map_or_else(|| "the built-in policy".to_owned(), |d| format!("revision {}", d.short()));
        let swap = bound.swap_ms.map_or_else(|| "not serving yet".to_owned(), |ms| format!("serving after {ms:.1} ms"));
        writeln!(out, "{} for {scope}: {what}, {swap} (number {})", word(&bound.role), bound.number)
    })
}

pub(super) async fn list(client: &Client, output: &Output) -> anyhow::Result<()> {
    let bindings = client.bindings().await?;
    let policies: BTreeMap<Digest, String> =
        client.policies().await?.into_iter().filter_map(|p| Some((p.digest, p.name?))).collect();
    let called = |digest: Digest| {
        policies.get(&digest).map_or_else(|| digest.short(), |name| format!("{name} ({})", digest.short()))
    };
    output.show(&bindings, |out| {
        let mut table = Table::new(&["role", "keyspace", "policy", "number", "before it", "config"]);
        for b in &bindings {
            table.row([
                word(&b.role),
                b.keyspace.clone().unwrap_or_else(|| "(all)".into()),
                b.revision.map_or_else(|| "builtin".into(), called) + if b.default { ", by default" } else { "" },
                b.number.to_string(),
                if b.number > 1 {
                    b.previous.map_or_else(|| "builtin".into(), called)
                } else {
                    or_dash(None::<String>)
                },
                b.config.to_string(),
            ]);
        }
        table.write(out)
    })
}
