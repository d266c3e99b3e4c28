//! A policy of no role: it can be described, opened and saved, and does nothing.

wit_bindgen::generate!({ path: "../../../wit", world: "policy" });

use exports::isobar::policy::lifecycle::{Description, Failure, Guest};

struct Idle;

impl Guest for Idle {
    fn describe() -> Description {
        Description { name: "idle".into(), version: "1".into(), config_schema: r#"{"type":"object"}"#.into() }
    }

    fn open(_config: String, _saved: Option<Vec<u8>>) -> Result<(), Failure> {
        isobar::policy::logging::log(isobar::policy::logging::Level::Info, "nothing to do");
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

export!(Idle);
