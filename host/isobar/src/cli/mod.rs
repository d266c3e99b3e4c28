//! The commands that ask a running node: `isobar policy`, `isobar kv` and so on. One file per resource, as in the API.

mod assess;
mod bindings;
mod decisions;
mod events;
mod explain;
mod export;
mod forecasts;
mod gains;
mod heat_map;
mod history;
mod history_import;
mod insights;
mod keyspaces;
mod kv;
mod migrations;
mod nodes;
mod output;
mod plans;
mod policies;
mod policy_score;
mod scores;
mod shard_profile;
mod shards;
mod status;
mod what_if;

pub use assess::Assess;

use crate::client::{Client, ClientError};
use clap::{Args, Subcommand};
pub(crate) use output::{Output, Table, bytes, or_dash, word};
use std::process::ExitCode;

/// Whom to ask, and how to show the answer.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The node to ask
    #[arg(
        long,
        global = true,
        env = "ISOBAR_ENDPOINT",
        default_value = "http://127.0.0.1:7400",
        value_name = "URL",
        help_heading = "Client options"
    )]
    pub endpoint: String,
    /// The cluster's bearer token
    #[arg(long, global = true, env = "ISOBAR_TOKEN", hide_env_values = true, help_heading = "Client options")]
    pub token: Option<String>,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = "Client options")]
    pub json: bool,
}

/// A command that asks a running node.
#[derive(Subcommand, Clone, Debug)]
pub enum ClientCommand {
    /// Policies: upload, list, bind, roll back
    #[command(subcommand)]
    Policy(policies::PolicyCommand),
    /// Keyspaces: create, list, set the mode
    #[command(subcommand)]
    Keyspace(keyspaces::KeyspaceCommand),
    /// Nodes: list, show, forecast, drain
    #[command(subcommand)]
    Node(nodes::NodeCommand),
    /// Shards: list, show, move
    #[command(subcommand)]
    Shard(shards::ShardCommand),
    /// Migrations: list, watch, cancel
    #[command(subcommand)]
    Migration(migrations::MigrationCommand),
    /// Plans that wait for an operator (mode `approve`)
    #[command(subcommand)]
    Plan(plans::PlanCommand),
    /// Keys and values
    #[command(subcommand)]
    Kv(kv::KvCommand),
    /// Forecast the load of shards
    Forecast(forecasts::Forecast),
    /// Rank shards by predicted load, with the moves recommended
    Ranking(forecasts::Ranking),
    /// Recorded history: show, export, import from elsewhere
    #[command(subcommand)]
    History(history::HistoryCommand),
    /// Show load of the past and the future as a heat map
    Heatmap(heat_map::HeatMap),
    /// Show which shards lead others, move together or share a shape, and what goes with load
    Insights(insights::Insights),
    /// Show what the control loop decided, and why
    Decisions(decisions::Decisions),
    /// Show why a shard is where it is and what else there would be, or what becomes of a node
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Show what would be planned if nodes were lost or added, loads were others, or another placer served
    WhatIf(what_if::Suppose),
    /// Show whether moves by forecast pay, keyspace by keyspace, and where they stopped since they don't
    Gains(gains::Gains),
    /// Follow what happens
    Events(events::Events),
    /// Halt all automatic moves
    #[command(
        after_help = "Migrations in flight go on; cancel them one by one with `isobar migration cancel`.\nLet moves go on with `isobar resume`."
    )]
    Halt,
    /// Let automatic moves go on
    Resume,
    /// Show the cluster at a glance
    Status,
}

impl ClientCommand {
    /// Runs the command; what it has to say goes to standard output, progress to standard error.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::new(&target.endpoint, target.token.clone())?;
        let output = Output::new(target.json);
        match self {
            Self::Policy(command) => command.run(&client, &output).await,
            Self::Keyspace(command) => command.run(&client, &output).await,
            Self::Node(command) => command.run(&client, &output).await,
            Self::Shard(command) => command.run(&client, &output).await,
            Self::Migration(command) => command.run(&client, &output).await,
            Self::Plan(command) => command.run(&client, &output).await,
            Self::Kv(command) => command.run(&client, &output).await,
            Self::Forecast(command) => command.run(&client, &output).await,
            Self::Ranking(command) => command.run(&client, &output).await,
            Self::History(command) => command.run(&client, &output).await,
            Self::Heatmap(command) => command.run(&client, &output).await,
            Self::Insights(command) => command.run(&client, &output).await,
            Self::Decisions(command) => command.run(&client, &output).await,
            Self::Explain(command) => command.run(&client, &output).await,
            Self::WhatIf(command) => command.run(&client, &output).await,
            Self::Gains(command) => command.run(&client, &output).await,
            Self::Events(command) => command.run(&client, &output).await,
            Self::Halt => status::set_halted(&client, &output, true).await,
            Self::Resume => status::set_halted(&client, &output, false).await,
            Self::Status => status::show(&client, &output).await,
        }
    }
}

/// Tells a failure on standard error, as JSON where asked for; gives the exit code.
#[must_use]
pub fn report_failure(error: &anyhow::Error, json: bool) -> ExitCode {
    // Whoever reads us has enough, as in `isobar shard list | head`: not worth a word.
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Problem(problem)) if json => {
            eprintln!("{}", serde_json::to_string_pretty(problem).unwrap_or_default());
        }
        Some(ClientError::Problem(problem)) => {
            eprintln!("error: {} ({})\n  {}", problem.title, problem.status, problem.detail);
        }
        Some(ClientError::Unreachable { .. } | ClientError::Unexpected { .. } | ClientError::Usage(_)) | None => {
            eprintln!("error: {error:#}");
        }
    }
    ExitCode::FAILURE
}
