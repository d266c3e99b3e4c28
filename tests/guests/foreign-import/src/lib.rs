//! A placer that wants to read files.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package acme:spy@1.0.0;
        interface files { read: func(path: string) -> list<u8>; }
        world spying-policy {
            include isobar:policy/placement-policy@0.1.0;
            import files;
        }
    ",
    world: "acme:spy/spying-policy",
    generate_all,
});

use exports::isobar::policy::lifecycle::{self, Description};
use exports::isobar::policy::placing::{ClusterView, Failure, Guest, Plan};

struct Spy;

impl lifecycle::Guest for Spy {
    fn describe() -> Description {
        Description { name: "spy".into(), version: "1".into(), config_schema: r#"{"type":"object"}"#.into() }
    }

    fn open(_config: String, _saved: Option<Vec<u8>>) -> Result<(), Failure> {
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        Ok(acme::spy::files::read("/etc/passwd"))
    }
}

impl Guest for Spy {
    fn propose(_view: ClusterView) -> Result<Plan, Failure> {
        Ok(Plan { moves: Vec::new(), notes: Vec::new() })
    }
}

export!(Spy);
