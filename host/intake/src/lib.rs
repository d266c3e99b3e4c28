//! Files from elsewhere: query logs, recorded load as CSV or Parquet, Prometheus exports. They become the analyzer's words, whatever wrote them.
//!
//! Architecture invariant: the only crate that knows these formats, and the only one that names Parquet's library. It reads and writes files,
//! but has no clock and no runtime; whoever shows progress measures the time.

mod columns;
mod delimited;
mod error;
mod event_fields;
mod input;
mod json_line;
mod load_record;
mod long_csv;
mod operation_words;
mod parquet_load;
mod profile_report;
mod prometheus;
mod query_log;
mod reading;
mod recorded_csv;
mod time_text;

pub use columns::{BadColumns, ColumnMap, Role};
pub use error::{BadLine, IntakeError};
pub use input::Progress;
pub use load_record::{LoadRecord, LoadRecordSpec, ShardNames};
pub use long_csv::{LongCsv, metric_name, metric_named};
pub use operation_words::{BadWords, OperationWords};
pub use parquet_load::read_parquet;
pub use profile_report::{CutReport, HitterReport, LatencyReport, OperationReport, ProfileReport, StreamReport};
pub use prometheus::read_prometheus;
pub use query_log::{QueryLog, QueryLogSpec};
pub use reading::ReadReport;
pub use recorded_csv::read_csv;
pub use time_text::TimeUnit;
