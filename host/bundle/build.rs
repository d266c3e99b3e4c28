//! Builds the first-party policies and writes the table that embeds them.

use std::fmt::Write;
use std::path::Path;

/// What each policy is for. A build script has no host to ask it; a test asks, and compares.
const ROLES: &[(&str, &str)] = &[
    ("arima", "Forecast"),
    ("best", "Forecast"),
    ("consolidate", "Place"),
    ("holt-winters", "Forecast"),
    ("lstm", "Forecast"),
    ("pooled", "Forecast"),
    ("predictive", "Place"),
    ("prophet", "Forecast"),
    ("published-rules", "Place"),
    ("reactive", "Place"),
    ("seasonal-naive", "Forecast"),
    ("spar", "Forecast"),
    ("spread", "Place"),
];

fn main() {
    let mut table = String::from("&[\n");
    for guest in isobar_guest_build::GuestWorkspace::new("../../policies").watch("../../wit").build_for_cargo() {
        let policy = guest.name.strip_suffix("-component").unwrap_or(&guest.name);
        let Some((name, role)) = ROLES.iter().find(|(name, _)| *name == policy) else {
            println!("cargo::error=policy {} is not in the table of roles: add it in host/bundle/build.rs", guest.name);
            std::process::exit(1);
        };
        let path = guest.component.display().to_string();
        writeln!(table, "FirstParty {{ name: {name:?}, role: Role::{role}, component: include_bytes!({path:?}) }},")
            .expect("writing to a string");
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR for build scripts");
    std::fs::write(Path::new(&out).join("first_party.rs"), table).expect("OUT_DIR is writable");
}
