//! A placer that can't say who it is: its name is a path.

wit_bindgen::generate!({ path: "../../../wit", world: "placement-policy" });

use exports::isobar::policy::lifecycle::{self, Description};
use exports::isobar::policy::placing::{ClusterView, Failure, Guest, Plan};

struct Nameless;

impl lifecycle::Guest for Nameless {
    fn describe() -> Description {
        Description {
            name: "../../etc/passwd".into(),
            version: "1".into(),
            config_schema: r#"{"type":"object"}"#.into(),
        }
    }

    fn open(_config: String, _saved: Option<Vec<u8>>) -> Result<(), Failure> {
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

impl Guest for Nameless {
    fn propose(_view: ClusterView) -> Result<Plan, Failure> {
        Ok(Plan { moves: Vec::new(), notes: Vec::new() })
    }
}

export!(Nameless);
