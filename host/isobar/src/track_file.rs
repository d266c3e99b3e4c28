//! Files of tracks and of forecasts: one JSON object a line, plain or gzipped.

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use isobar_analyzer::track::{BadField, MAX_LINE_BYTES, MAX_TRACK_SERIES, MAX_TRACK_VALUES, Series, TrackForecast};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Forecasts of one file: every series of the largest track at a hundred origins.
const MAX_FORECASTS: usize = 100 * MAX_TRACK_SERIES;
/// How a gzipped file begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads a track.
pub fn read_track(path: &Path) -> anyhow::Result<Vec<Series>> {
    let mut track = Vec::new();
    let (mut ids, mut values) = (HashSet::new(), 0);
    each_line(path, |line| {
        let series = Series::parse(line)?;
        if !ids.insert(series.id.clone()) {
            return Err(BadField {
                field: "id".into(),
                reason: format!("{:?} is the id of an earlier line, too", series.id),
            });
        }
        values += series.y.len();
        if track.len() == MAX_TRACK_SERIES || values > MAX_TRACK_VALUES {
            let reason = format!(
                "the track has more than {MAX_TRACK_SERIES} series or {MAX_TRACK_VALUES} values; split it into several"
            );
            return Err(BadField { field: "(whole track)".into(), reason });
        }
        track.push(series);
        Ok(())
    })?;
    ensure!(!track.is_empty(), "{} holds no series: one JSON object a line is wanted", path.display());
    Ok(track)
}

/// Reads forecasts.
pub fn read_forecasts(path: &Path) -> anyhow::Result<Vec<TrackForecast>> {
    let mut forecasts = Vec::new();
    each_line(path, |line| {
        if forecasts.len() == MAX_FORECASTS {
            let reason = format!("there are more than {MAX_FORECASTS} of them");
            return Err(BadField { field: "(all forecasts)".into(), reason });
        }
        forecasts.push(TrackForecast::parse(line)?);
        Ok(())
    })?;
    Ok(forecasts)
}

/// Writes forecasts, gzipped where the name ends in `.gz`. An earlier file of that name is there until the new one is whole.
pub fn write_forecasts(path: &Path, forecasts: &[TrackForecast]) -> anyhow::Result<()> {
    let failed = || format!("{} can't be written", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    let lines = |out: &mut dyn Write| forecasts.iter().try_for_each(|forecast| writeln!(out, "{}", forecast.to_line()));
    let mut out = BufWriter::new(file.as_file());
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gzip = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
        lines(&mut gzip).and_then(|()| gzip.finish().map(drop)).with_context(failed)?;
    } else {
        lines(&mut out).with_context(failed)?;
    }
    out.flush().with_context(failed)?;
    drop(out);
    // Ours alone is what temporary files are; this one is like any other that is asked for.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).with_context(failed)?;
    }
    file.persist(path).with_context(failed)?;
    Ok(())
}

/// Calls `read` with each line that is not blank. Never more than one line is held.
fn each_line(path: &Path, mut read: impl FnMut(&str) -> Result<(), BadField>) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut file = BufReader::new(file);
    let head = file.fill_buf().with_context(|| format!("{} can't be read", path.display()))?;
    let mut lines: Box<dyn BufRead> = if head.starts_with(&GZIP_MAGIC) {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    };
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        // One more than allowed, to tell a line of just that length from a longer one.
        let mut bounded = (&mut lines).take(MAX_LINE_BYTES as u64 + 1);
        let length = bounded.read_line(&mut line).with_context(|| {
            format!("{}, line {number} can't be read: text in UTF-8 is wanted, plain or gzipped", path.display())
        })?;
        if length == 0 {
            break;
        }
        if length > MAX_LINE_BYTES {
            bail!("{}, line {number} has more than {MAX_LINE_BYTES} bytes", path.display());
        }
        if !line.trim().is_empty() {
            read(&line).with_context(|| format!("{}, line {number}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"a","start":0,"step_s":300,"seasons":[2],"horizons":[1],"origins":[3],"y":[1,2,3,4]}"#;

    fn error_of(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        format!("{:#}", read_track(file.path()).unwrap_err())
    }

    #[test]
    fn what_is_written_is_what_is_read_plain_and_gzipped() {
        let folder = tempfile::tempdir().unwrap();
        let line = r#"{"id":"a","origin":3,"q":{"0.05":[1.0],"0.5":[2.0],"0.9":[3.0],"0.95":[4.0],"0.99":[5.0]}}"#;
        let forecasts = vec![TrackForecast::parse(line).unwrap()];
        for name in ["plain.jsonl", "packed.jsonl.gz"] {
            let path = folder.path().join(name);
            write_forecasts(&path, &forecasts).unwrap();
            assert_eq!(read_forecasts(&path).unwrap(), forecasts);
            let packed = std::fs::read(&path).unwrap().starts_with(&GZIP_MAGIC);
            assert_eq!(packed, name.ends_with("gz"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let bad = LINE.replace("300", "-1");
        assert!(error_of(format!("{LINE}\n\n{bad}").as_bytes()).contains("line 3: field `step_s`: -1"));
        assert!(
            error_of(format!("{LINE}\n{LINE}").as_bytes())
                .contains("line 2: field `id`: \"a\" is the id of an earlier")
        );
        assert!(error_of(b"").contains("holds no series"));
        assert!(error_of(b"\xff\xfe").contains("line 1 can't be read"));
        assert!(error_of(&[GZIP_MAGIC.as_slice(), b"no gzip"].concat()).contains("line 1 can't be read"));
        let long = format!("{{\"id\": \"{}\"}}", "x".repeat(MAX_LINE_BYTES));
        assert!(error_of(long.as_bytes()).contains("more than 16777216 bytes"));
        assert!(format!("{:#}", read_track(Path::new("/nowhere")).unwrap_err()).contains("/nowhere can't be read"));
    }
}
