//! From the texts of a line's fields to a query.

use crate::columns::Role;
use crate::error::{BadField, shown};
use crate::operation_words::OperationWords;
use crate::time_text::{TimeUnit, Times, decimal, whole};
use isobar_analyzer::stream::{Operation, QueryEvent};
use isobar_model::InstantMs;
use isobar_model::keyspace::MAX_KEY_BYTES;
use std::borrow::Cow;

/// Texts of one line, by what they tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a>([Option<Cow<'a, [u8]>>; Role::ALL.len()]);

impl<'a> Fields<'a> {
    pub(crate) fn set(&mut self, role: Role, text: Cow<'a, [u8]>) {
        self.0[role as usize] = Some(text);
    }

    fn get(&self, role: Role) -> Option<&[u8]> {
        self.0[role as usize].as_deref().map(<[u8]>::trim_ascii).filter(|text| !text.is_empty())
    }

    /// The key as it stands there: blanks may be a part of it.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.0[Role::Key as usize].as_deref().filter(|key| !key.is_empty())
    }
}

/// How texts are read.
#[derive(Clone, Debug)]
pub(crate) struct EventReader {
    pub(crate) times: Times,
    pub(crate) words: OperationWords,
    pub(crate) latency_unit: TimeUnit,
    /// The words last seen and what they stand for: most lines repeat one of two.
    recent: [(Vec<u8>, Operation); 2],
}

impl EventReader {
    pub(crate) fn new(times: Times, words: OperationWords, latency_unit: TimeUnit) -> Self {
        let none = || (Vec::new(), Operation::Get);
        Self { times, words, latency_unit, recent: [none(), none()] }
    }

    /// The query of a line but for its key.
    pub(crate) fn event<'a>(&mut self, fields: &Fields<'_>, key: &'a [u8]) -> Result<QueryEvent<'a>, BadField> {
        if key.len() > MAX_KEY_BYTES {
            return Err(BadField::new(
                "key",
                format!("{} bytes are more than the {MAX_KEY_BYTES} a key may have", key.len()),
            ));
        }
        let time = fields.get(Role::Time).ok_or_else(|| BadField::new("time", "there is none"))?;
        let at_ms = self.times.ms(time).ok_or_else(|| {
            BadField::new("time", format!("{} is no time: a number since 1970 or a date is wanted", shown(time)))
        })?;
        let operation = match fields.get(Role::Operation) {
            Some(word) => self.operation(word)?,
            None => Operation::Get,
        };
        let bytes = match fields.get(Role::Bytes) {
            Some(text) => {
                amount(text).ok_or_else(|| BadField::new("bytes", format!("{} is no number of bytes", shown(text))))?
            }
            None => 0.0,
        };
        let latency = match fields.get(Role::Latency) {
            Some(text) => {
                let latency =
                    amount(text).ok_or_else(|| BadField::new("latency", format!("{} is no duration", shown(text))))?;
                Some(self.latency_unit.us(latency).round() as u64)
            }
            None => None,
        };
        Ok(QueryEvent { at: InstantMs(at_ms), operation, key, bytes: bytes as u64, latency_us: latency })
    }

    fn operation(&mut self, word: &[u8]) -> Result<Operation, BadField> {
        if let Some((_, operation)) = self.recent.iter().find(|(recent, _)| recent == word) {
            return Ok(*operation);
        }
        let operation = self.words.operation(word).ok_or_else(|| {
            let shown = shown(word);
            BadField::new(
                "operation",
                format!("{shown} is not known: say what it does with --ops {}=get", shown.trim_matches('"')),
            )
        })?;
        self.recent.swap(0, 1);
        self.recent[0] = (word.to_vec(), operation);
        Ok(operation)
    }
}

/// A number that is not negative; most have digits only.
fn amount(text: &[u8]) -> Option<f64> {
    whole(text).map(|number| number as f64).or_else(|| decimal(text).filter(|number| *number >= 0.0))
}
