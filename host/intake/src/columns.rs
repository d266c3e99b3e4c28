//! Which column of a log is what.

use crate::time_text::TimeUnit;

/// What a column of a query log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// When the query began. Every log has it.
    Time,
    /// What it did. Without it, every query is a get.
    Operation,
    /// The key. Every log has it.
    Key,
    /// Bytes read or written. Without it, none.
    Bytes,
    /// How long it took. Without it, not known.
    Latency,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::Time, Self::Operation, Self::Key, Self::Bytes, Self::Latency];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Operation => "operation",
            Self::Key => "key",
            Self::Bytes => "bytes",
            Self::Latency => "latency",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let op = (name == "op").then_some(Self::Operation);
        op.or_else(|| Self::ALL.into_iter().find(|role| role.name() == name))
    }

    /// Names of columns that need no telling.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Time => &["time", "timestamp", "ts", "at", "datetime", "date", "time_s", "time_ms", "time_us"],
            Self::Operation => &["operation", "op", "command", "cmd", "method", "verb", "type"],
            Self::Key => &["key", "object", "object_id", "obj_id", "id"],
            Self::Bytes => &["bytes", "size", "length", "value_size", "bytes_sent"],
            Self::Latency => &[
                "latency",
                "latency_us",
                "latency_ms",
                "latency_ns",
                "latency_s",
                "duration",
                "duration_us",
                "duration_ms",
                "duration_ns",
                "duration_s",
            ],
        }
    }
}

/// A description of columns that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadColumns {
    /// Not `ROLE=NAME`.
    #[error("{0:?} is not ROLE=NAME, such as key=object_id; roles are time, operation, key, bytes, latency")]
    Form(String),
    /// A role twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
}

/// Which columns a log has, by name or, where all are numbers, by position in a file without a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap {
    given: [Option<String>; Role::ALL.len()],
}

impl ColumnMap {
    /// Reads a text such as `time=ts,key=object_id` or, for a file without a header, `time=1,key=3`.
    pub fn parse(text: &str) -> Result<Self, BadColumns> {
        let mut map = Self::default();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let bad = || BadColumns::Form(pair.to_owned());
            let (role, name) = pair.split_once('=').ok_or_else(bad)?;
            let role = Role::named(role.trim()).ok_or_else(bad)?;
            let name = name.trim();
            if name.is_empty() {
                return Err(bad());
            }
            if map.given[role as usize].replace(name.to_owned()).is_some() {
                return Err(BadColumns::Twice(role.name()));
            }
        }
        Ok(map)
    }

    /// Positions, from 0, of a file without a header; none: the columns have names.
    fn positions(&self) -> Option<Vec<Option<Role>>> {
        let mut roles = Vec::new();
        for role in Role::ALL {
            let Some(name) = &self.given[role as usize] else { continue };
            let at = name.parse::<usize>().ok().filter(|at| (1..=MAX_COLUMNS).contains(at))?;
            if roles.len() < at {
                roles.resize(at, None);
            }
            roles[at - 1] = Some(role);
        }
        (!roles.is_empty()).then_some(roles)
    }

    /// What a column of this name tells.
    pub(crate) fn role(&self, name: &str) -> Option<Role> {
        let given = Role::ALL.into_iter().find(|role| self.given[*role as usize].as_deref() == Some(name));
        given.or_else(|| {
            Role::ALL.into_iter().find(|role| {
                self.given[*role as usize].is_none()
                    && role.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(name))
            })
        })
    }

    /// The layout of a file without a header, where the columns are given by position.
    pub(crate) fn without_header(&self) -> Option<Layout> {
        self.positions().map(|roles| Layout { roles, time_unit: None, latency_unit: None })
    }

    /// The layout of a file whose header has these names, or what is missing.
    pub(crate) fn layout(&self, names: &[String]) -> Result<Layout, String> {
        let mut roles: Vec<Option<Role>> = Vec::with_capacity(names.len());
        for name in names {
            // The first column of a kind is it.
            roles.push(self.role(name.trim()).filter(|role| !roles.contains(&Some(*role))));
        }
        for role in Role::ALL {
            if roles.contains(&Some(role)) {
                continue;
            }
            if let Some(name) = &self.given[role as usize] {
                return Err(format!("there is no column {name:?}; its header has {}", names.join(", ")));
            }
            if matches!(role, Role::Time | Role::Key) {
                return Err(format!(
                    "no column is known to be the {0}; its header has {1}: say which with --columns {0}=NAME, or {0}=1 where there is no header",
                    role.name(),
                    names.join(", ")
                ));
            }
        }
        let unit = |of: Role| {
            let at = roles.iter().position(|role| *role == Some(of));
            at.and_then(|at| unit_of(names[at].trim()))
        };
        let (time_unit, latency_unit) = (unit(Role::Time), unit(Role::Latency));
        Ok(Layout { roles, time_unit, latency_unit })
    }
}

/// Most columns of a file: beyond it a header is no header.
pub(crate) const MAX_COLUMNS: usize = 30_000;

/// What each column tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) roles: Vec<Option<Role>>,
    /// The unit of times, where the column's name tells it.
    pub(crate) time_unit: Option<TimeUnit>,
    /// The unit of latencies, where the column's name tells it.
    pub(crate) latency_unit: Option<TimeUnit>,
}

/// The unit by which a column's name ends.
pub(crate) fn unit_of(name: &str) -> Option<TimeUnit> {
    match name.rsplit(['_', '-', ' ']).next()? {
        "s" | "sec" | "seconds" => Some(TimeUnit::S),
        "ms" | "millis" | "milliseconds" => Some(TimeUnit::Ms),
        "us" | "micros" | "microseconds" => Some(TimeUnit::Us),
        "ns" | "nanos" | "nanoseconds" => Some(TimeUnit::Ns),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_found_by_their_usual_names_or_by_those_given() {
        let layout = ColumnMap::default().layout(&names("Timestamp,host,cmd,key,size,latency_ms")).unwrap();
        assert_eq!(
            layout.roles,
            [Some(Role::Time), None, Some(Role::Operation), Some(Role::Key), Some(Role::Bytes), Some(Role::Latency)]
        );
        assert_eq!((layout.time_unit, layout.latency_unit), (None, Some(TimeUnit::Ms)));
        let given = ColumnMap::parse("key=host, op=key").unwrap().layout(&names("ts,host,cmd,key")).unwrap();
        assert_eq!(given.roles, [Some(Role::Time), Some(Role::Key), None, Some(Role::Operation)]);
    }

    #[test]
    fn numbers_are_positions_in_a_file_without_a_header() {
        let layout = ColumnMap::parse("time=2,key=1").unwrap().without_header().unwrap();
        assert_eq!(layout.roles, [Some(Role::Key), Some(Role::Time)]);
        assert_eq!(ColumnMap::default().without_header(), None);
        assert_eq!(ColumnMap::parse("time=2,key=k").unwrap().without_header(), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let problem = |map: &str, header: &str| ColumnMap::parse(map).unwrap().layout(&names(header)).unwrap_err();
        assert!(problem("", "a,key").contains("--columns time=NAME"));
        assert!(problem("bytes=n", "time,key").contains("no column \"n\"; its header has time, key"));
        assert_eq!(ColumnMap::parse("colour=red"), Err(BadColumns::Form("colour=red".into())));
        assert_eq!(ColumnMap::parse("key=a,key=b"), Err(BadColumns::Twice("key")));
    }
}
