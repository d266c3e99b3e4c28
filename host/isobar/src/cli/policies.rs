//! `isobar policy`.

use super::bindings;
use super::output::{Output, Table, bytes, or_dash, word};
use super::policy_score::Score;
use crate::client::Client;
use anyhow::{Context, bail};
use clap::Subcommand;
use isobar_api::{PolicyInfo, Standing};
use isobar_model::Digest;
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an upload waits for its check: a Python component is compiled in ten seconds, on a busy machine in more.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command about policies.
#[derive(Subcommand, Clone, Debug)]
pub enum PolicyCommand {
    /// Upload a WebAssembly component, and wait until it is checked
    #[command(
        after_help = "Examples:\n  isobar policy upload mine.wasm\n  isobar policy upload --no-wait mine.wasm\n  isobar policy upload best"
    )]
    Upload {
        /// The component, or the name of a policy that comes with Isobar
        file: PathBuf,
        /// Don't wait for the check
        #[arg(long)]
        no_wait: bool,
    },
    /// List revisions
    List,
    /// Show a revision
    #[command(after_help = "Examples:\n  isobar policy show ba7816bf8f01\n  isobar policy show seasonal-naive")]
    Show {
        /// Its digest or the beginning of it, or the policy's name where it has one revision
        policy: String,
    },
    /// Bind a policy to a role
    #[command(
        after_help = "Examples:\n  isobar policy bind forecast holt-winters\n  isobar policy bind place ba7816bf8f01 --keyspace tenants --config '{\"price\": 30}'\n  isobar policy bind forecast builtin"
    )]
    Bind(bindings::Bind),
    /// Bind what served before
    #[command(after_help = "Example:\n  isobar policy rollback forecast")]
    Rollback(bindings::RollBack),
    /// Show which policy serves which role
    Status,
    /// Score a forecaster on recorded load; needs no running node
    Score(Score),
}

impl PolicyCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Upload { file, no_wait } => upload(client, output, &file, no_wait).await,
            Self::List => {
                let policies = client.policies().await?;
                output.show(&policies, |out| {
                    let mut table = Table::new(&["digest", "name", "version", "role", "status", "size"]);
                    for p in &policies {
                        table.row([
                            p.digest.short(),
                            or_dash(p.name.as_ref()),
                            or_dash(p.version.as_ref()),
                            or_dash(p.role.as_ref().map(word)),
                            word(&p.status),
                            bytes(p.bytes),
                        ]);
                    }
                    table.write(out)
                })
            }
            Self::Show { policy } => show(output, &find(client, &policy).await?),
            Self::Bind(bind) => bind.run(client, output).await,
            Self::Rollback(roll_back) => roll_back.run(client, output).await,
            Self::Status => bindings::list(client, output).await,
            Self::Score(score) => score.run(*output).await,
        }
    }
}

async fn upload(client: &Client, output: &Output, file: &Path, no_wait: bool) -> anyhow::Result<()> {
    let component = component(file)?;
    output.progress(&format!("uploading {} ...", bytes(component.len() as u64)));
    let mut policy = client.upload_policy(component.into()).await?;
    if !no_wait {
        output.progress(&format!("{} is being compiled and checked ...", policy.digest.short()));
        policy = client.judged_policy(policy.digest, PATIENCE).await?;
    }
    output.progress_done();
    show(output, &policy)?;
    let reason = policy.reason.as_deref().unwrap_or("no reason was given");
    match policy.status {
        Standing::Ready => Ok(()),
        Standing::Uploaded if no_wait => Ok(()),
        Standing::Uploaded => bail!(
            "the policy is still being checked after {} s; ask again with `isobar policy show {}`",
            PATIENCE.as_secs(),
            policy.digest.short()
        ),
        Standing::Rejected => bail!("the policy was rejected: {reason}"),
        Standing::Quarantined => bail!("the policy is quarantined: {reason}"),
    }
}

/// The bytes of a file, or of a policy that comes with this binary; a file of that name comes first.
fn component(file: &Path) -> anyhow::Result<Vec<u8>> {
    let embedded = isobar_bundle::first_party().iter().find(|policy| Path::new(policy.name) == file);
    if let (Some(policy), false) = (embedded, file.exists()) {
        return Ok(policy.component.to_vec());
    }
    let unreadable = || {
        let names: Vec<_> = isobar_bundle::first_party().iter().map(|policy| policy.name).collect();
        format!("{} can't be read, nor is it a policy that comes with Isobar ({})", file.display(), names.join(", "))
    };
    let size = std::fs::metadata(file).with_context(unreadable)?.len();
    if size > MAX_ARTIFACT_BYTES as u64 {
        bail!("{} has {size} bytes; a policy may have {MAX_ARTIFACT_BYTES} at most", file.display());
    }
    std::fs::read(file).with_context(unreadable)
}

fn show(output: &Output, p: &PolicyInfo) -> anyhow::Result<()> {
    output.show(p, |out| {
        writeln!(out, "digest   {}", p.digest)?;
        writeln!(out, "status   {}", word(&p.status))?;
        if let Some(reason) = &p.reason {
            writeln!(out, "reason   {reason}")?;
        }
        if let (Some(name), Some(version)) = (&p.name, &p.version) {
            writeln!(out, "policy   {name} {version}")?;
        }
        if let Some(role) = &p.role {
            writeln!(out, "role     {}", word(role))?;
            writeln!(out, "imports  {}", if p.imports.is_empty() { "nothing".into() } else { p.imports.join(", ") })?;
        }
        writeln!(out, "size     {}", bytes(p.bytes))?;
        if let Some(schema) = &p.config_schema {
            writeln!(out, "config   {schema}")?;
        }
        Ok(())
    })
}

/// The revision meant by a digest, the beginning of one, or a name.
pub(super) async fn find(client: &Client, wanted: &str) -> anyhow::Result<PolicyInfo> {
    if let Ok(digest) = wanted.parse::<Digest>() {
        return Ok(client.policy(digest).await?);
    }
    let policies = client.policies().await?;
    choose(policies, wanted)
}

fn choose(policies: Vec<PolicyInfo>, wanted: &str) -> anyhow::Result<PolicyInfo> {
    let (named, digests): (Vec<_>, Vec<_>) = policies.into_iter().partition(|p| p.name.as_deref() == Some(wanted));
    let mut found = named;
    if found.is_empty() {
        // Four digits: fewer would be found by chance.
        found = digests.into_iter().filter(|p| wanted.len() >= 4 && p.digest.to_string().starts_with(wanted)).collect();
    }
    if found.len() > 1 {
        let ready = found.iter().filter(|p| p.status == Standing::Ready).count();
        if ready == 1 {
            found.retain(|p| p.status == Standing::Ready);
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(policy)) => Ok(policy),
        (0, _) => bail!("no policy has this name or digest: {wanted:?}; see `isobar policy list`"),
        (count, _) => bail!("{count} revisions go by {wanted:?}: name one by its digest, see `isobar policy list`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(bytes: &[u8], name: &str, status: Standing) -> PolicyInfo {
        PolicyInfo {
            digest: Digest::of(bytes),
            bytes: 1,
            status,
            reason: None,
            role: None,
            name: Some(name.into()),
            version: None,
            config_schema: None,
            imports: vec![],
            href: String::new(),
        }
    }

    #[test]
    fn a_policy_that_comes_with_the_binary_goes_by_its_name() {
        assert!(component(Path::new("best")).unwrap().starts_with(b"\0asm"));
        let refusal = format!("{:#}", component(Path::new("no-such.wasm")).unwrap_err());
        assert!(refusal.contains("no-such.wasm") && refusal.contains("seasonal-naive"), "{refusal}");
    }

    #[test]
    fn a_policy_goes_by_name_or_by_the_beginning_of_its_digest() {
        let all = || {
            vec![
                policy(b"1", "a", Standing::Ready),
                policy(b"2", "b", Standing::Ready),
                policy(b"3", "b", Standing::Rejected),
                policy(b"4", "c", Standing::Ready),
                policy(b"5", "c", Standing::Ready),
            ]
        };
        let chosen = |wanted: &str| choose(all(), wanted).map(|p| p.digest).map_err(|e| e.to_string());
        assert_eq!(chosen("a"), Ok(Digest::of(b"1")));
        assert_eq!(chosen("b"), Ok(Digest::of(b"2")));
        assert!(chosen("c").unwrap_err().contains("2 revisions"));
        assert_eq!(chosen(&Digest::of(b"5").short()), Ok(Digest::of(b"5")));
        assert!(chosen("nope").unwrap_err().contains("policy list"));
    }
}
