//! A query as a JSON object on a line of its own.

use crate::columns::{ColumnMap, Role, unit_of};
use crate::error::BadField;
use crate::event_fields::Fields;
use crate::time_text::TimeUnit;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The texts of one object's fields; kept from line to line, so that nothing is allocated anew.
#[derive(Debug, Default)]
pub(crate) struct JsonLine {
    texts: [Vec<u8>; Role::ALL.len()],
    seen: [bool; Role::ALL.len()],
    /// Ends of the keys within their text, where there are several: each is a query of its own.
    key_ends: Vec<usize>,
    /// The unit of latencies, where the field's name tells it.
    pub(crate) latency_unit: Option<TimeUnit>,
}

impl JsonLine {
    /// Reads a line.
    pub(crate) fn read(&mut self, line: &[u8], columns: &ColumnMap) -> Result<(), BadField> {
        self.texts.iter_mut().for_each(Vec::clear);
        self.seen = [false; Role::ALL.len()];
        self.key_ends.clear();
        let mut json = serde_json::Deserializer::from_slice(line);
        let bad = |error: serde_json::Error| BadField::new("line", format!("no JSON object: {error}"));
        json.deserialize_map(ObjectVisitor { line: self, columns }).map_err(bad)?;
        json.end().map_err(bad)
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::default();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Key && self.seen[*role as usize]) {
            fields.set(role, Cow::Borrowed(&self.texts[role as usize]));
        }
        fields
    }

    /// The keys, one or many.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let text = &self.texts[Role::Key as usize];
        let starts = std::iter::once(0).chain(self.key_ends.iter().copied());
        starts.zip(&self.key_ends).map(|(from, to)| &text[from..*to])
    }
}

struct ObjectVisitor<'a> {
    line: &'a mut JsonLine,
    columns: &'a ColumnMap,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a time and a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match self.columns.role(&name) {
                Some(role) if !self.line.seen[role as usize] => {
                    self.line.seen[role as usize] = true;
                    if role == Role::Latency && self.line.latency_unit.is_none() {
                        self.line.latency_unit = unit_of(&name);
                    }
                    map.next_value_seed(Text { line: self.line, role })?;
                }
                Some(_) | None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a number or text into the text of a field.
struct Text<'a> {
    line: &'a mut JsonLine,
    role: Role,
}

impl Text<'_> {
    fn put(self, text: &[u8]) {
        let whole = &mut self.line.texts[self.role as usize];
        whole.extend_from_slice(text);
        if self.role == Role::Key {
            self.line.key_ends.push(whole.len());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or a text as {}", self.role.name())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(text.as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.put(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.line.seen[self.role as usize] = false;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.role != Role::Key {
            return Err(A::Error::custom(format!("a list as {}: only keys may be several", self.role.name())));
        }
        while list.next_element_seed(Text { line: self.line, role: Role::Key })?.is_some() {}
        Ok(())
    }
}
