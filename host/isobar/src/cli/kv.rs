//! `isobar kv`.

use super::output::{Output, Table, text};
use crate::client::{self, Client, ScanQuery};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use isobar_model::Consistency;
use isobar_model::keyspace::MAX_VALUE_BYTES;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

/// Most characters of a value in a table.
const SHOWN: usize = 80;

/// A command about keys and values.
#[derive(Subcommand, Clone, Debug)]
pub enum KvCommand {
    /// Read a key; its value goes to standard output as it is
    #[command(after_help = "Examples:\n  isobar kv get tenants user/7\n  isobar kv get tenants user/7 --stale")]
    Get {
        /// The keyspace
        keyspace: String,
        /// The key
        key: String,
        /// Read whatever a replica has applied, instead of the last acknowledged write
        #[arg(long)]
        stale: bool,
    },
    /// Write a key
    #[command(
        after_help = "Examples:\n  isobar kv put tenants user/7 hello\n  isobar kv put tenants user/7 --file photo.jpg\n  date | isobar kv put tenants now -"
    )]
    Put {
        /// The keyspace
        keyspace: String,
        /// The key
        key: String,
        /// The value; `-`: from standard input
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// Take the value from this file
        #[arg(long, conflicts_with = "value")]
        file: Option<PathBuf>,
    },
    /// Remove a key
    Delete {
        /// The keyspace
        keyspace: String,
        /// The key
        key: String,
    },
    /// List keys in order
    #[command(
        after_help = "Examples:\n  isobar kv scan tenants --prefix user/\n  isobar kv scan tenants --start a --end m --limit 10"
    )]
    Scan(ScanArgs),
}

/// Which keys to list.
#[derive(Args, Clone, Debug)]
pub struct ScanArgs {
    /// The keyspace
    keyspace: String,
    /// First key
    #[arg(long)]
    start: Option<String>,
    /// First key past the range
    #[arg(long)]
    end: Option<String>,
    /// All keys that begin so
    #[arg(long, conflicts_with_all = ["start", "end"])]
    prefix: Option<String>,
    /// Most rows
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

impl KvCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Get { keyspace, key, stale } => {
                let consistency = if stale { Consistency::Stale } else { Consistency::Linearizable };
                let got = client.get(&keyspace, key.as_bytes(), consistency).await?;
                let Some(value) = got.value else {
                    bail!("no value under {key:?}: it was never written, or deleted");
                };
                let json = serde_json::json!({
                    "key": key, "value": STANDARD.encode(&value), "shard": got.shard, "node": got.node,
                });
                output.show(&json, |out| {
                    out.write_all(&value)?;
                    // A newline that is not the value's own is for people only.
                    if std::io::stdout().is_terminal() { writeln!(out) } else { Ok(()) }
                })
            }
            Self::Put { keyspace, key, value, file } => {
                let value = read_value(value, file)?;
                let size = value.len();
                let put = client.put(&keyspace, key.as_bytes(), value.into()).await?;
                let json = serde_json::json!({ "key": key, "bytes": size, "shard": put.shard, "node": put.node });
                output.show(&json, |out| writeln!(out, "written: {size} bytes under {key}"))
            }
            Self::Delete { keyspace, key } => {
                let gone = client.delete(&keyspace, key.as_bytes()).await?;
                let json = serde_json::json!({ "key": key, "shard": gone.shard, "node": gone.node });
                output.show(&json, |out| writeln!(out, "deleted: {key}"))
            }
            Self::Scan(scan) => scan.run(client, output).await,
        }
    }
}

fn read_value(value: Option<String>, file: Option<PathBuf>) -> anyhow::Result<Vec<u8>> {
    // One byte more than may be sent, so that what is too long is seen to be.
    let most = MAX_VALUE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    match (value, file) {
        (_, Some(file)) => {
            let opened = std::fs::File::open(&file).with_context(|| format!("{} can't be read", file.display()))?;
            opened.take(most).read_to_end(&mut bytes).with_context(|| format!("{} can't be read", file.display()))?;
        }
        (Some(value), None) if value == "-" => {
            std::io::stdin().lock().take(most).read_to_end(&mut bytes).context("standard input can't be read")?;
        }
        (value, None) => bytes = value.unwrap_or_default().into_bytes(),
    }
    if bytes.len() > MAX_VALUE_BYTES {
        bail!("the value is longer than {MAX_VALUE_BYTES} bytes, the most a value may have");
    }
    Ok(bytes)
}

impl ScanArgs {
    async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let mut query = ScanQuery {
            start: self.start.map(String::into_bytes),
            end: self.end.map(String::into_bytes),
            prefix: self.prefix.map(String::into_bytes),
            ..ScanQuery::default()
        };
        let mut rows = Vec::new();
        let mut more = false;
        // Pages may be short of their limit, so that the last one is the one without a next.
        while rows.len() < self.limit as usize {
            query.limit = Some((self.limit - rows.len() as u32).min(isobar_api::MAX_SCAN_ROWS));
            let page = client.scan(&self.keyspace, &query).await?;
            rows.extend(page.rows);
            more = page.next.is_some();
            if page.next.is_none() {
                break;
            }
            query.after = page.next;
        }
        let shown = rows.iter().map(client::row).collect::<Result<Vec<_>, _>>()?;
        output.show(&rows, |out| {
            let mut table = Table::new(&["key", "value"]);
            for (key, value) in &shown {
                let mut value = text(value);
                if value.chars().count() > SHOWN {
                    value = value.chars().take(SHOWN).chain("...".chars()).collect();
                }
                table.row([text(key), value]);
            }
            table.write(out)?;
            if more { writeln!(out, "there are more: raise --limit, or go on with --start") } else { Ok(()) }
        })
    }
}
