//! Recorded history as a file, CSV or Parquet: `time,shard,metric,value,max,coverage`, a line a step that anything is known of.

use anyhow::Context as _;
use clap::ValueEnum;
use isobar_model::history::HistoryPage;
use isobar_model::{Metric, ShardId};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// The columns as Parquet has them.
const SCHEMA: &str = "message history {
    required int64 time (timestamp_millis);
    required int64 shard;
    required binary metric (utf8);
    required float value;
    required float max;
    required float coverage;
}";

/// A kind of file.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Text, with a header
    Csv,
    /// Columns, packed by Snappy
    Parquet,
}

impl FileKind {
    /// The kind that a file's ending tells.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        Self::value_variants()
            .iter()
            .copied()
            .find(|kind| kind.to_possible_value().is_some_and(|name| name.get_name().eq_ignore_ascii_case(ending)))
    }
}

enum Sink {
    Csv(BufWriter<File>),
    Parquet(Box<SerializedFileWriter<File>>),
}

/// A file being written.
pub(super) struct Export {
    sink: Sink,
    metric: String,
    shards: u64,
    lines: u64,
}

/// Columns of the known steps of one page.
#[derive(Default)]
struct Columns {
    time: Vec<i64>,
    shard: Vec<i64>,
    value: Vec<f32>,
    max: Vec<f32>,
    coverage: Vec<f32>,
}

impl Columns {
    fn of(page: &HistoryPage<ShardId>) -> Self {
        let mut columns = Self::default();
        for row in &page.rows {
            for (number, step) in (0u64..).zip(&row.steps).filter(|(_, step)| step.coverage > 0.0) {
                let at = page.start.plus_ms(number * u64::from(page.step_ms));
                // Ids and instants stay below 2^53.
                columns.time.push(at.0 as i64);
                columns.shard.push(row.key.0 as i64);
                columns.value.push(step.mean);
                columns.max.push(step.peak);
                columns.coverage.push(step.coverage);
            }
        }
        columns
    }
}

impl Export {
    /// Begins a file; one that is there already is not touched.
    pub(super) fn create(path: &Path, kind: FileKind, metric: Metric) -> anyhow::Result<Self> {
        let file = File::create_new(path)
            .with_context(|| format!("{} can't be made: name a file that is not there yet", path.display()))?;
        let sink = match kind {
            FileKind::Csv => {
                let mut file = BufWriter::new(file);
                writeln!(file, "time,shard,metric,value,max,coverage")?;
                Sink::Csv(file)
            }
            FileKind::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                let schema = Arc::new(parse_message_type(SCHEMA)?);
                Sink::Parquet(Box::new(SerializedFileWriter::new(file, schema, Arc::new(properties))?))
            }
        };
        let metric = super::output::word(&metric);
        Ok(Self { sink, metric, shards: 0, lines: 0 })
    }

    /// Adds a page: in Parquet, a row group.
    pub(super) fn page(&mut self, page: &HistoryPage<ShardId>) -> anyhow::Result<()> {
        let columns = Columns::of(page);
        self.shards += page.rows.len() as u64;
        self.lines += columns.time.len() as u64;
        match &mut self.sink {
            Sink::Csv(file) => {
                for i in 0..columns.time.len() {
                    let (time, shard, metric) = (columns.time[i], columns.shard[i], &self.metric);
                    let (value, max, coverage) = (columns.value[i], columns.max[i], columns.coverage[i]);
                    writeln!(file, "{time},{shard},{metric},{value},{max},{coverage}")?;
                }
            }
            Sink::Parquet(file) => {
                if columns.time.is_empty() {
                    return Ok(());
                }
                let mut group = file.next_row_group()?;
                let metric = vec![ByteArray::from(self.metric.as_str()); columns.time.len()];
                column::<Int64Type>(&mut group, &columns.time)?;
                column::<Int64Type>(&mut group, &columns.shard)?;
                column::<ByteArrayType>(&mut group, &metric)?;
                column::<FloatType>(&mut group, &columns.value)?;
                column::<FloatType>(&mut group, &columns.max)?;
                column::<FloatType>(&mut group, &columns.coverage)?;
                group.close()?;
            }
        }
        Ok(())
    }

    /// Shards and lines so far.
    pub(super) fn written(&self) -> (u64, u64) {
        (self.shards, self.lines)
    }

    /// Completes the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let file = match self.sink {
            Sink::Csv(file) => file.into_inner()?,
            Sink::Parquet(file) => file.into_inner()?,
        };
        Ok(file.sync_all()?)
    }
}

fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: &[T::T]) -> anyhow::Result<()> {
    let mut column = group.next_column()?.context("the file has fewer columns than its schema")?;
    column.typed::<T>().write_batch(values, None, None)?;
    Ok(column.close()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::InstantMs;
    use isobar_model::history::{HistoryRow, Step};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    fn page() -> HistoryPage<ShardId> {
        let steps = vec![
            Step { mean: 1.5, peak: 3.0, coverage: 0.5 },
            Step::MISSING,
            Step { mean: 2.0, peak: 2.0, coverage: 1.0 },
        ];
        HistoryPage {
            start: InstantMs(600_000),
            step_ms: 60_000,
            steps: 3,
            rows: vec![HistoryRow { key: ShardId(7), steps }],
            next: None,
        }
    }

    fn written(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(name);
        let mut export = Export::create(&path, FileKind::of(&path).unwrap(), Metric::WriteOps).unwrap();
        export.page(&page()).unwrap();
        export.page(&page()).unwrap();
        assert_eq!(export.written(), (2, 4));
        export.finish().unwrap();
        assert!(Export::create(&path, FileKind::Csv, Metric::Load).is_err(), "what is there is not overwritten");
        (scratch, path)
    }

    #[test]
    fn a_line_a_known_step() {
        let (_scratch, path) = written("a.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["time,shard,metric,value,max,coverage", "600000,7,write-ops,1.5,3,0.5", "720000,7,write-ops,2,2,1"]
        );
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_parquet_file_is_read_back() {
        let (_scratch, path) = written("a.PARQUET");
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 4);
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert!(
            rows[0].contains("shard: 7") && rows[0].contains("metric: \"write-ops\"") && rows[0].contains("max: 3.0"),
            "{}",
            rows[0]
        );
        assert_eq!(FileKind::of(Path::new("a.txt")), None);
    }
}
