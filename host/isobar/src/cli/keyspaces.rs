//! `isobar keyspace`.

use super::output::{Output, Table, word};
use crate::client::Client;
use clap::{Args, Subcommand, ValueEnum};
use isobar_api::{CreateKeyspace, KeyspaceInfo, PlacementRulesInfo};
use isobar_model::{Mode, Partitioning};

/// A command about keyspaces.
#[derive(Subcommand, Clone, Debug)]
pub enum KeyspaceCommand {
    /// Create a keyspace, and wait until every shard has a leader
    #[command(
        after_help = "Examples:\n  isobar keyspace create sessions --shards 16\n  isobar keyspace create tenants --partitioning range --split g,n,t --mode auto"
    )]
    Create(Create),
    /// List keyspaces
    List,
    /// Show a keyspace
    Show {
        /// Its name
        name: String,
    },
    /// Set what the control loop may do in a keyspace by itself
    #[command(after_help = "Example:\n  isobar keyspace mode tenants auto")]
    Mode {
        /// Its name
        name: String,
        /// The mode
        mode: ModeArg,
    },
    /// Show where a keyspace's replicas may live, or say it anew
    #[command(
        after_help = "Without options it shows the rules in force; with any, those given replace them.\nReplicas that live elsewhere are moved, whatever the mode.\n\nExamples:\n  isobar keyspace rules tenants\n  isobar keyspace rules tenants --require disk=ssd --require region=eu,region=us\n  isobar keyspace rules tenants --apart batch\n  isobar keyspace rules tenants --anywhere"
    )]
    Rules {
        /// Its name
        name: String,
        #[command(flatten)]
        rules: Rules,
        /// Take all rules away
        #[arg(long, conflicts_with_all = ["require", "forbid", "apart", "together"])]
        anywhere: bool,
    },
}

/// Where replicas may live.
#[derive(Args, Clone, Debug, Default)]
pub struct Rules {
    /// Only on nodes with these labels; of one key any of the values will do
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    require: Vec<String>,
    /// Never on nodes with one of these labels
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    forbid: Vec<String>,
    /// On no node that holds replicas of these keyspaces
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    apart: Vec<String>,
    /// Only on nodes that hold replicas of each of these keyspaces
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    together: Vec<String>,
}

impl Rules {
    fn info(self) -> Option<PlacementRulesInfo> {
        let Self { require, forbid, apart, together } = self;
        let info = PlacementRulesInfo { require, forbid, apart, together };
        (info != PlacementRulesInfo::default()).then_some(info)
    }
}

/// A keyspace to be created.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// Its name: 1-64 of a-z 0-9 - _, a letter first
    name: String,
    /// How keys are spread over shards
    #[arg(long, default_value = "hash")]
    partitioning: PartitioningArg,
    /// Shards, where keys are hashed [default: 8]
    #[arg(long)]
    shards: Option<u32>,
    /// Keys that cut a range into shards, ascending, percent-encoded where needed
    #[arg(long, value_delimiter = ',', value_name = "KEY,KEY")]
    split: Vec<String>,
    /// Copies of each shard: 1, 3 or 5
    #[arg(long, default_value_t = 3, value_name = "N")]
    replication_factor: u32,
    /// What the control loop may do by itself [default: the cluster's]
    #[arg(long)]
    mode: Option<ModeArg>,
    #[command(flatten)]
    rules: Rules,
}

/// How keys are spread over shards.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum PartitioningArg {
    /// By hash: even load
    Hash,
    /// By the key itself: ordered scans
    Range,
}

/// What the loop may do by itself.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ModeArg {
    /// Forecast only
    Observe,
    /// Show plans
    Advise,
    /// Carry out what an operator releases
    Approve,
    /// Carry out
    Auto,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Observe => Self::Observe,
            ModeArg::Advise => Self::Advise,
            ModeArg::Approve => Self::Approve,
            ModeArg::Auto => Self::Auto,
        }
    }
}

impl KeyspaceCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let keyspaces = match self {
            Self::List => {
                let all = client.keyspaces().await?;
                return output.show(&all, |out| table(&all).write(out));
            }
            Self::Create(create) => {
                output.progress(&format!("creating {} ...", create.name));
                let created = client.create_keyspace(&create.into()).await;
                output.progress_done();
                created?
            }
            Self::Show { name } => client.keyspace(&name).await?,
            Self::Mode { name, mode } => client.set_mode(&name, mode.into()).await?,
            Self::Rules { name, rules, anywhere } => {
                let rules = match rules.info() {
                    Some(rules) => client.set_placement_rules(&name, &rules).await?,
                    None if anywhere => client.set_placement_rules(&name, &PlacementRulesInfo::default()).await?,
                    None => client.placement_rules(&name).await?,
                };
                return output.show(&rules, |out| rules_table(&rules).write(out));
            }
        };
        output.show(&keyspaces, |out| table(std::slice::from_ref(&keyspaces)).write(out))
    }
}

impl From<Create> for CreateKeyspace {
    fn from(create: Create) -> Self {
        Self {
            name: create.name,
            partitioning: match create.partitioning {
                PartitioningArg::Hash => Partitioning::Hash,
                PartitioningArg::Range => Partitioning::Range,
            },
            shards: create.shards,
            split_points: (!create.split.is_empty()).then_some(create.split),
            replication_factor: Some(create.replication_factor),
            mode: create.mode.map(Mode::from),
            placement: None,
            rules: create.rules.info(),
        }
    }
}

fn rules_table(rules: &PlacementRulesInfo) -> Table {
    let PlacementRulesInfo { require, forbid, apart, together } = rules;
    let mut table = Table::new(&["rule", "of"]);
    for (rule, of) in [("require", require), ("forbid", forbid), ("apart", apart), ("together", together)] {
        table.row([rule.to_owned(), if of.is_empty() { "-".to_owned() } else { of.join(" ") }]);
    }
    table
}

fn table(keyspaces: &[KeyspaceInfo]) -> Table {
    let mut table = Table::new(&["name", "partitioning", "shards", "factor", "mode"]);
    for k in keyspaces {
        table.row([
            k.name.clone(),
            word(&k.partitioning),
            k.shards.to_string(),
            k.replication_factor.to_string(),
            word(&k.mode),
        ]);
    }
    table
}
