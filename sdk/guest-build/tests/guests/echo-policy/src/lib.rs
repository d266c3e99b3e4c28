//! Saves what it was opened with.

wit_bindgen::generate!({ path: "../../../../../wit", world: "policy" });

use exports::isobar::policy::lifecycle::{Description, Failure, Guest};
use isobar::policy::logging::{Level, log};
use std::cell::RefCell;

thread_local! {
    static SAVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Echo;

impl Guest for Echo {
    fn describe() -> Description {
        Description { name: "echo".into(), version: "1".into(), config_schema: r#"{"type":"object"}"#.into() }
    }

    fn open(config: String, saved: Option<Vec<u8>>) -> Result<(), Failure> {
        log(Level::Debug, &config);
        SAVED.set(saved.unwrap_or_default());
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        Ok(SAVED.take())
    }
}

export!(Echo);
