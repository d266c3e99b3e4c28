use super::*;
use isobar_analyzer::stream::Operation;
use std::io::Write;

fn read(content: &str, spec: QueryLogSpec) -> Result<(Vec<String>, ReadReport), IntakeError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let each = |e: &QueryEvent<'_>| {
        let key = String::from_utf8_lossy(e.key);
        seen.push(format!("{} {} {key} {} {:?}", e.at, e.operation.name(), e.bytes, e.latency_us));
    };
    let report = QueryLog::new(spec).read(&[file.path().to_owned()], each, &mut |_| {})?;
    Ok((seen, report))
}

fn spec(columns: &str) -> QueryLogSpec {
    QueryLogSpec { columns: ColumnMap::parse(columns).unwrap(), ..QueryLogSpec::default() }
}

#[test]
fn the_documented_form_is_read() {
    let log = "time,operation,key,bytes,latency_us\n1731689870000,get,user/1,120,350\n2024-11-15T16:57:51Z,PUT,\"a,\"\"b\"\"\",64,1200.5\n";
    let (seen, report) = read(log, QueryLogSpec::default()).unwrap();
    assert_eq!(seen, ["1731689870000 get user/1 120 Some(350)", "1731689871000 put a,\"b\" 64 Some(1201)"]);
    assert_eq!((report.lines, report.events, report.bad_lines), (2, 2, 0));
}

#[test]
fn units_are_told_by_the_names_of_columns() {
    let (seen, _) = read("time_ms,key,duration_s\n1500,a,0.25\n", QueryLogSpec::default()).unwrap();
    assert_eq!(seen, ["1500 get a 0 Some(250000)"]);
}

#[test]
fn what_is_not_told_has_a_default() {
    let (seen, _) = read("ts\tid\n5\tk 1 \r\n", QueryLogSpec::default()).unwrap();
    assert_eq!(seen, ["5000 get k 1  0 None"]);
}

#[test]
fn a_file_without_a_header_is_read_by_position() {
    let words = OperationWords::with("28=get,2a=put").unwrap();
    let spec = QueryLogSpec { words, ..spec("time=2,op=3,bytes=4,key=5") };
    let (seen, _) = read("1,5633898,2a,512,42932745\n1,5633899,28,1024,7\n", spec).unwrap();
    assert_eq!(seen, ["5633898000 put 42932745 512 None", "5633899000 get 7 1024 None"]);
}

#[test]
fn json_lines_are_read_and_a_list_of_keys_is_many_queries() {
    let log = r#"{"timestamp": 27, "input": [1, {"key": 5}], "hash_ids": [3, "x"], "latency_ms": 1.5}
{"key": null, "timestamp": 28, "hash_ids": 9}
"#;
    let spec = QueryLogSpec { time_unit: Some(TimeUnit::Ms), ..spec("key=hash_ids") };
    let (seen, report) = read(log, spec).unwrap();
    assert_eq!(seen, ["27 get 3 0 Some(1500)", "27 get x 0 Some(1500)", "28 get 9 0 None"]);
    assert_eq!((report.lines, report.events), (2, 3));
}

#[test]
fn few_bad_lines_are_counted_and_many_refused_with_examples() {
    let log = "time,op,key,bytes\n1,get,a,1\nsoon,get,a,1\n2,shrug,a,1\n3,get,,1\n4,get,b,-1\n5,get,c,2\n";
    let (seen, report) = read(log, QueryLogSpec { max_bad_lines: 4, ..QueryLogSpec::default() }).unwrap();
    assert_eq!((seen.len(), report.bad_lines, report.examples.len()), (2, 4, 3));
    assert_eq!((report.examples[0].line, report.examples[0].field), (3, "time"));
    let error = read(log, QueryLogSpec { max_bad_lines: 3, ..QueryLogSpec::default() }).unwrap_err().to_string();
    for part in ["4 bad lines are more than the 3 allowed", ":3: time: \"soon\"", "--ops shrug=get", ":5: key"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_file_that_is_no_log_is_refused_with_what_to_do() {
    let error = |content: &str| read(content, QueryLogSpec::default()).unwrap_err().to_string();
    assert!(error("a,b\n1,2\n").contains("--columns time=NAME"));
    assert!(error("{\n").contains("no JSON object"));
    assert_eq!(read("", QueryLogSpec::default()).unwrap().0.len(), 0);
    let missing = QueryLog::new(QueryLogSpec::default()).read(&["/none/such".into()], |_| {}, &mut |_| {});
    assert!(missing.unwrap_err().to_string().contains("can't read /none/such"));
}

#[test]
fn progress_ends_where_the_files_end() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "time,key").unwrap();
    (0..200_000).for_each(|i| writeln!(file, "{i},k{i}").unwrap());
    file.flush().unwrap();
    let mut told = Vec::new();
    let files = [file.path().to_owned(), file.path().to_owned()];
    let operation = |e: &QueryEvent<'_>| assert_eq!(e.operation, Operation::Get);
    QueryLog::new(QueryLogSpec::default()).read(&files, operation, &mut |p| told.push(p)).unwrap();
    assert!(told.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes && pair[0].lines <= pair[1].lines));
    let last = told.last().unwrap();
    assert_eq!((last.bytes, last.lines), (last.total_bytes, 400_000));
    assert!(told.len() >= 6);
}
