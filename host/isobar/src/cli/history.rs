//! `isobar history`.

use super::history_import::Import;
use super::output::Output;
use crate::client::Client;
use clap::Subcommand;

/// A command about recorded load.
#[derive(Subcommand, Clone, Debug)]
pub enum HistoryCommand {
    /// Read load from elsewhere: a query log, recorded load as CSV or Parquet, a Prometheus export
    Import(Box<Import>),
}

impl HistoryCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Import(import) => import.run(client, output).await,
        }
    }
}
