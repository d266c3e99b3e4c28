//! The words by which logs name operations.

use isobar_analyzer::stream::Operation;

/// Words known without being told, in small letters.
const KNOWN: &[(&str, Operation)] = &[
    ("get", Operation::Get),
    ("read", Operation::Get),
    ("r", Operation::Get),
    ("gets", Operation::Get),
    ("mget", Operation::Get),
    ("hget", Operation::Get),
    ("head", Operation::Get),
    ("lookup", Operation::Get),
    ("exists", Operation::Get),
    ("select", Operation::Get),
    ("scan", Operation::Scan),
    ("range", Operation::Scan),
    ("list", Operation::Scan),
    ("query", Operation::Scan),
    ("put", Operation::Put),
    ("set", Operation::Put),
    ("write", Operation::Put),
    ("w", Operation::Put),
    ("add", Operation::Put),
    ("hset", Operation::Put),
    ("replace", Operation::Put),
    ("append", Operation::Put),
    ("prepend", Operation::Put),
    ("incr", Operation::Put),
    ("decr", Operation::Put),
    ("insert", Operation::Put),
    ("update", Operation::Put),
    ("upsert", Operation::Put),
    ("post", Operation::Put),
    ("patch", Operation::Put),
    ("delete", Operation::Delete),
    ("del", Operation::Delete),
    ("remove", Operation::Delete),
    ("d", Operation::Delete),
    ("cas", Operation::CompareAndSwap),
    ("compare-and-swap", Operation::CompareAndSwap),
    ("batch", Operation::Batch),
    ("mset", Operation::Batch),
];

/// Most words a log may add of its own.
const MAX_WORDS: usize = 256;

/// Words that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWords {
    /// Not `WORD=OPERATION`.
    #[error("{0:?} is not WORD=OPERATION, such as 28=get")]
    Form(String),
    /// No operation of that name.
    #[error("{0:?} is no operation: they are get, scan, put, delete, compare-and-swap, batch")]
    Operation(String),
    /// Too many.
    #[error("more than {MAX_WORDS} words")]
    TooMany,
}

/// Which operation a word stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationWords {
    /// Those of the log come first: they are asked for most often, and may give a known word another meaning.
    words: Vec<(Box<[u8]>, Operation)>,
}

impl Default for OperationWords {
    fn default() -> Self {
        Self { words: KNOWN.iter().map(|(word, operation)| (word.as_bytes().into(), *operation)).collect() }
    }
}

impl OperationWords {
    /// The known words, and before them those of a text such as `28=get,2a=put`.
    pub fn with(text: &str) -> Result<Self, BadWords> {
        let mut words = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (word, name) = pair.split_once('=').ok_or_else(|| BadWords::Form(pair.to_owned()))?;
            let name = name.trim();
            let operation = Operation::ALL.into_iter().find(|operation| operation.name().eq_ignore_ascii_case(name));
            let operation = operation.ok_or_else(|| BadWords::Operation(name.to_owned()))?;
            if words.len() == MAX_WORDS {
                return Err(BadWords::TooMany);
            }
            words.push((word.trim().as_bytes().into(), operation));
        }
        words.extend(Self::default().words);
        Ok(Self { words })
    }

    /// The operation of a word, in small letters or capitals.
    #[must_use]
    pub fn operation(&self, word: &[u8]) -> Option<Operation> {
        self.words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, operation)| *operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_may_have_words_of_its_own() {
        let words = OperationWords::with("28=get, 2a=put,r=scan").unwrap();
        let of = |word: &str| words.operation(word.as_bytes());
        assert_eq!((of("28"), of("2A"), of("R")), (Some(Operation::Get), Some(Operation::Put), Some(Operation::Scan)));
        assert_eq!((of("DELETE"), of("shrug")), (Some(Operation::Delete), None));
        assert_eq!(OperationWords::with("28"), Err(BadWords::Form("28".into())));
        assert_eq!(OperationWords::with("28=look"), Err(BadWords::Operation("look".into())));
    }
}
