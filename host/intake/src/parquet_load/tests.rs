use super::*;
use crate::load_record::LoadRecordSpec;
use isobar_model::LoadBatch;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

enum Column {
    Longs(Vec<i64>),
    Doubles(Vec<f64>, Vec<i16>),
    Texts(Vec<&'static str>),
}

fn written(schema: &str, columns: Vec<Column>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(file.reopen().unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let mut out = group.next_column().unwrap().unwrap();
        match column {
            Column::Longs(values) => out.typed::<Int64Type>().write_batch(&values, None, None).unwrap(),
            Column::Doubles(values, levels) => {
                out.typed::<DoubleType>().write_batch(&values, Some(&levels), None).unwrap()
            }
            Column::Texts(values) => {
                let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
                out.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap()
            }
        };
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    file
}

fn read(file: &tempfile::NamedTempFile) -> Result<Vec<LoadBatch>, IntakeError> {
    let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 60_000, counters: false });
    let mut shards = ShardNames::default();
    let files = [file.path().to_owned()];
    read_parquet(&files, Metric::Load, None, 0, &mut record, &mut shards, &mut |_| {})?;
    let mut batches = Vec::new();
    record.give(&mut |batch| batches.push(batch));
    Ok(batches)
}

#[test]
fn wide_and_long_say_the_same() {
    const START_MS: i64 = 1_700_000_040_000;
    let wide = written(
        "message m { required int64 time (TIMESTAMP(MILLIS,true)); optional double \"7\"; optional double \"8\"; }"
            .replace('"', "")
            .as_str(),
        vec![
            Column::Longs(vec![START_MS, START_MS + 60_000]),
            Column::Doubles(vec![1.5, 3.0], vec![1, 1]),
            Column::Doubles(vec![2.0], vec![1, 0]),
        ],
    );
    let long = written(
        "message m { required int64 time; required int64 shard; required binary metric (UTF8); optional double value; }",
        vec![
            // Microseconds, by the size of the numbers.
            Column::Longs(vec![START_MS * 1000, START_MS * 1000, (START_MS + 60_000) * 1000]),
            Column::Longs(vec![7, 8, 7]),
            Column::Texts(vec!["load"; 3]),
            Column::Doubles(vec![1.5, 2.0, 3.0], vec![1, 1, 1]),
        ],
    );
    let (wide, long) = (read(&wide).unwrap(), read(&long).unwrap());
    assert_eq!(format!("{wide:?}"), format!("{long:?}"));
    assert_eq!(format!("{:?}", wide[0].values), "[1.5, 3.0, 2.0, NaN]");
}

#[test]
fn what_is_no_parquet_or_no_load_is_refused() {
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), "time,7\n1,2\n").unwrap();
    assert!(read(&other).unwrap_err().to_string().contains("not readable as Parquet"));
    let negative = written(
        "message m { required int64 time; required int64 shard; optional double value; }",
        vec![Column::Longs(vec![1]), Column::Longs(vec![1]), Column::Doubles(vec![-1.0], vec![1])],
    );
    assert!(read(&negative).unwrap_err().to_string().contains(":1: value: -1 is negative"));
}
