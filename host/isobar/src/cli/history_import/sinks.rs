//! Where imported load goes: a file, a cluster.

use crate::cli::output::Output;
use crate::client::Client;
use anyhow::{Context, bail};
use isobar_intake::LongCsv;
use isobar_model::{LoadBatch, Metric};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Most values collected for an upload: 128 MiB.
const MAX_UPLOAD_VALUES: usize = 1 << 25;
/// Most values of one request: under the 40 MiB that a node takes.
const MAX_REQUEST_VALUES: usize = 8 << 20;

/// A file that appears under its name only when it is whole.
pub(super) struct NewFile {
    path: PathBuf,
    part: PathBuf,
}

impl NewFile {
    pub(super) fn create(path: &Path) -> anyhow::Result<(Self, File)> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("can't write {}", part.display()))?;
        Ok((Self { path: path.to_owned(), part }, file))
    }

    pub(super) fn keep(self) -> anyhow::Result<()> {
        std::fs::rename(&self.part, &self.path).with_context(|| format!("can't write {}", self.path.display()))
    }
}

/// Takes batches as they come.
pub(super) struct Sinks {
    csv: Option<(NewFile, LongCsv<BufWriter<File>>)>,
    upload: Option<Vec<LoadBatch>>,
    upload_values: usize,
    /// The first that went wrong; after it nothing more is written.
    error: Option<anyhow::Error>,
}

impl Sinks {
    pub(super) fn open(out: Option<&Path>, upload: bool) -> anyhow::Result<Self> {
        let csv = match out {
            Some(path) => {
                let (new, file) = NewFile::create(path)?;
                let csv =
                    LongCsv::new(BufWriter::new(file)).with_context(|| format!("can't write {}", path.display()))?;
                Some((new, csv))
            }
            None => None,
        };
        Ok(Self { csv, upload: upload.then(Vec::new), upload_values: 0, error: None })
    }

    pub(super) fn take(&mut self, batch: LoadBatch) {
        if self.error.is_none()
            && let Err(error) = self.try_take(batch)
        {
            self.error = Some(error);
        }
    }

    fn try_take(&mut self, batch: LoadBatch) -> anyhow::Result<()> {
        if let Some((new, csv)) = &mut self.csv {
            csv.write(&batch).with_context(|| format!("can't write {}", new.part.display()))?;
        }
        // A cluster keeps load alone: it is what placement balances.
        if let Some(batches) = &mut self.upload
            && batch.metric == Metric::Load
        {
            self.upload_values += batch.values.len();
            if self.upload_values > MAX_UPLOAD_VALUES {
                bail!(
                    "more than {MAX_UPLOAD_VALUES} values to upload: import fewer files at a time, or choose longer steps"
                );
            }
            batches.push(batch);
        }
        Ok(())
    }

    /// Ends the file, and sends what is to be uploaded.
    pub(super) async fn finish(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some((new, csv)) = self.csv {
            csv.finish().with_context(|| format!("can't write {}", new.part.display()))?;
            new.keep()?;
        }
        let requests = joined(self.upload.unwrap_or_default());
        let all = requests.len();
        for (sent, batch) in requests.iter().enumerate() {
            output.progress(&format!("uploading: {sent} of {all} requests done"));
            let result = client.import_history(batch).await;
            output.progress_done();
            result?;
        }
        Ok(())
    }
}

/// Joins batches that follow each other, as far as one request carries.
fn joined(batches: Vec<LoadBatch>) -> Vec<LoadBatch> {
    let mut joined: Vec<Vec<LoadBatch>> = Vec::new();
    for batch in batches {
        match joined.last_mut() {
            Some(run) if follows(run, &batch) => run.push(batch),
            Some(_) | None => joined.push(vec![batch]),
        }
    }
    joined.into_iter().filter_map(join).collect()
}

fn follows(run: &[LoadBatch], next: &LoadBatch) -> bool {
    let values: usize = run.iter().map(|batch| batch.values.len()).sum();
    run.last().is_some_and(|last| {
        last.start.plus_ms(u64::from(last.steps) * u64::from(last.step_ms)) == next.start
            && last.step_ms == next.step_ms
            && last.shards == next.shards
            && values + next.values.len() <= MAX_REQUEST_VALUES
    })
}

fn join(run: Vec<LoadBatch>) -> Option<LoadBatch> {
    let first = run.first()?;
    let rows = 0..first.shards.len();
    let values = rows.flat_map(|row| run.iter().flat_map(move |batch| batch.row(row).iter().copied())).collect();
    let steps = run.iter().map(|batch| batch.steps).sum();
    Some(LoadBatch { steps, values, shards: first.shards.clone(), ..*first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, ShardId};

    #[test]
    fn batches_in_a_row_become_one_request() {
        let batch = |start, values: &[f32]| LoadBatch {
            metric: Metric::Load,
            start: InstantMs(start),
            step_ms: 10,
            steps: values.len() as u32 / 2,
            shards: vec![ShardId(1), ShardId(2)],
            values: values.into(),
        };
        let requests = joined(vec![batch(0, &[1.0, 2.0]), batch(10, &[3.0, 4.0, 5.0, 6.0]), batch(40, &[7.0, 8.0])]);
        assert_eq!(requests, [batch(0, &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]), batch(40, &[7.0, 8.0])]);
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("load.csv");
        let sinks = Sinks::open(Some(&path), false).unwrap();
        assert!(!path.exists());
        drop(sinks);
        assert!(!path.exists());
        assert!(Sinks::open(Some(&dir.path().join("none/load.csv")), false).is_err());
    }
}
