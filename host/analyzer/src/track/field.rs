//! Fields of a line of JSON, read with an error that names them.

use serde_json::{Map, Value};

/// Characters of a wrong value that are shown.
const SHOWN_CHARS: usize = 40;

/// A field that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {reason}")]
pub struct BadField {
    /// Its name, with the place within it: `y[17]`.
    pub field: String,
    /// What is wrong, and what is wanted.
    pub reason: String,
}

impl BadField {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// One line: a JSON object.
pub(super) struct Line(Map<String, Value>);

/// A value as it stands there, cut.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    format!("{}...", text.chars().take(SHOWN_CHARS).collect::<String>())
}

impl Line {
    pub(super) fn parse(line: &str) -> Result<Self, BadField> {
        match serde_json::from_str(line) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(other) => Err(BadField::new("(whole line)", format!("{} is no JSON object", shown(&other)))),
            Err(error) => Err(BadField::new(
                "(whole line)",
                format!("no JSON: {error}; one object a line is wanted, a missing value as null"),
            )),
        }
    }

    pub(super) fn get(&self, field: &str) -> Result<&Value, BadField> {
        self.0.get(field).ok_or_else(|| BadField::new(field, "is not there"))
    }

    pub(super) fn optional(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Text of 1 to `longest` bytes.
    pub(super) fn text(&self, field: &str, longest: usize) -> Result<String, BadField> {
        let value = self.get(field)?;
        match value.as_str() {
            Some(text) if (1..=longest).contains(&text.len()) => Ok(text.to_owned()),
            Some(_) | None => Err(BadField::new(field, format!("{} is no text of 1 to {longest} bytes", shown(value)))),
        }
    }

    /// A whole number from `least` to `most`; one written as `300.0` counts.
    pub(super) fn whole(&self, field: &str, least: u64, most: u64) -> Result<u64, BadField> {
        whole(self.get(field)?, field, least, most)
    }

    /// `fewest` to `most` whole numbers, each within the bounds.
    pub(super) fn wholes(
        &self,
        field: &str,
        count: std::ops::RangeInclusive<usize>,
        bounds: (u64, u64),
    ) -> Result<Vec<usize>, BadField> {
        let values = list(self.get(field)?, field, count)?;
        let whole = |(at, value)| whole(value, &format!("{field}[{at}]"), bounds.0, bounds.1).map(|v| v as usize);
        values.iter().enumerate().map(whole).collect()
    }
}

/// The list that `value` must be.
pub(super) fn list<'a>(
    value: &'a Value,
    field: &str,
    count: std::ops::RangeInclusive<usize>,
) -> Result<&'a [Value], BadField> {
    match value.as_array() {
        Some(values) if count.contains(&values.len()) => Ok(values),
        Some(values) => Err(BadField::new(
            field,
            format!("holds {} values; {} to {} are wanted", values.len(), count.start(), count.end()),
        )),
        None => Err(BadField::new(field, format!("{} is no list", shown(value)))),
    }
}

/// The number that `value` must be; null stands for a missing one, NaN here.
pub(super) fn number_or_missing(value: &Value, field: impl FnOnce() -> String) -> Result<f64, BadField> {
    match value.as_f64() {
        Some(number) => Ok(number),
        None if value.is_null() => Ok(f64::NAN),
        None => Err(BadField::new(field(), format!("{} is neither a number nor null", shown(value)))),
    }
}

fn whole(value: &Value, field: &str, least: u64, most: u64) -> Result<u64, BadField> {
    // A double holds every whole number up to 2^53; the bounds asked for lie below.
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64);
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(_) | None => {
            Err(BadField::new(field, format!("{} is no whole number from {least} to {most}", shown(value))))
        }
    }
}
