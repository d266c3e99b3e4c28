//! `isobar migration`.

use super::output::{Output, Table, bytes, instant, word};
use crate::client::Client;
use anyhow::bail;
use clap::Subcommand;
use isobar_api::{MigrationInfo, MigrationQuery};
use isobar_model::{OperationId, Stage};
use std::time::Duration;

/// How often a migration is looked at.
const POLL: Duration = Duration::from_millis(250);

/// A command about migrations.
#[derive(Subcommand, Clone, Debug)]
pub enum MigrationCommand {
    /// List migrations, the newest first
    #[command(after_help = "Examples:\n  isobar migration list --active\n  isobar migration list --shard 7")]
    List {
        /// Only those not yet ended
        #[arg(long)]
        active: bool,
        /// Only those of this shard
        #[arg(long)]
        shard: Option<u64>,
        /// Most migrations
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a migration
    Show {
        /// Its number
        id: OperationId,
    },
    /// Cancel a migration that is not past the point of return
    Cancel {
        /// Its number
        id: OperationId,
    },
    /// Follow a migration until it ends
    #[command(after_help = "Example:\n  isobar migration watch 12")]
    Watch {
        /// Its number
        id: OperationId,
    },
}

impl MigrationCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List { active, shard, limit } => {
                let query = MigrationQuery { active: active.then_some(true), shard, limit: Some(limit) };
                let migrations = client.migrations(&query).await?;
                output.show(&migrations, |out| table(&migrations).write(out))
            }
            Self::Show { id } => show(output, &client.migration(id).await?),
            Self::Cancel { id } => show(output, &client.cancel_migration(id).await?),
            Self::Watch { id } => {
                let migration = client.migration(id).await?;
                begun(client, output, migration, true).await
            }
        }
    }
}

/// Shows a migration that was begun; waits for its end where asked to, and fails where that is not a good one.
pub(super) async fn begun(
    client: &Client,
    output: &Output,
    mut migration: MigrationInfo,
    wait: bool,
) -> anyhow::Result<()> {
    // Without an end of its own, as a migration takes as long as its data; whoever waits can stop at any time.
    while wait && !migration.stage.is_final() {
        output.progress(&progress(&migration));
        tokio::time::sleep(POLL).await;
        migration = client.migration(migration.id).await?;
    }
    output.progress_done();
    show(output, &migration)?;
    if wait && migration.stage == Stage::Aborted {
        bail!(
            "migration {} was aborted: {}",
            migration.id,
            migration.error.as_deref().unwrap_or("no reason was given")
        );
    }
    Ok(())
}

fn progress(m: &MigrationInfo) -> String {
    // In twentieths; nothing to show before the total is known.
    let done = m.copied_bytes.min(m.total_bytes).saturating_mul(20).checked_div(m.total_bytes);
    let copied = done.map_or_else(String::new, |done| {
        let bar = format!("{}{}", "#".repeat(done as usize), "-".repeat(20 - done as usize));
        format!(" [{bar}] {} of {}", bytes(m.copied_bytes), bytes(m.total_bytes))
    });
    let eta = m.eta_ms.map(|ms| format!(", {:.1} s left", ms as f64 / 1000.0)).unwrap_or_default();
    format!("migration {}: shard {}, node {} to {}: {}{copied}{eta}", m.id, m.shard, m.from, m.to, word(&m.stage))
}

fn show(output: &Output, migration: &MigrationInfo) -> anyhow::Result<()> {
    output.show(migration, |out| {
        table(std::slice::from_ref(migration)).write(out)?;
        if !migration.reason.is_empty() {
            writeln!(out, "reason: {}", migration.reason)?;
        }
        match &migration.error {
            Some(error) => writeln!(out, "error: {error}"),
            None => Ok(()),
        }
    })
}

pub(super) fn table(migrations: &[MigrationInfo]) -> Table {
    let mut table =
        Table::new(&["migration", "shard", "keyspace", "kind", "from", "to", "stage", "copied", "failures", "started"]);
    for m in migrations {
        table.row([
            m.id.to_string(),
            m.shard.to_string(),
            m.keyspace.clone(),
            word(&m.kind),
            m.from.to_string(),
            m.to.to_string(),
            word(&m.stage),
            bytes(m.copied_bytes),
            m.failures.to_string(),
            instant(m.started),
        ]);
    }
    table
}
