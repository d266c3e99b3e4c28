//! The map is held by a test: who may import whom, what lies where.
//!
//! The tables below are the architecture. A change of them is a change of the architecture: say why in ARCHITECTURE.md.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate of ours, and those of ours that it may import. Arrows point from the top of this table downwards only; a crate that is not
/// here has no place yet.
const ARROWS: &[(&str, &[&str])] = &[
    // The roof: wires everything, or looks at everything.
    ("isobar", &["*"]),
    ("isobar-tests", &["*"]),
    // What is seen from outside. It knows the ports, not what implements them.
    ("isobar-api", &["isobar-model", "isobar-ports"]),
    // Time is virtual, the brain is the real one, the policies run natively.
    (
        "isobar-sim",
        &[
            "isobar-model",
            "isobar-ports",
            "isobar-analyzer",
            "isobar-planner",
            "isobar-mapper",
            "isobar-control",
            "policies",
        ],
    ),
    // Pages for people: of texts and numbers, whosever they are.
    ("isobar-report", &[]),
    // The brain.
    // Files of others, in the analyzer's words.
    ("isobar-intake", &["isobar-model", "isobar-analyzer"]),
    ("isobar-control", &["isobar-model", "isobar-ports", "isobar-analyzer", "isobar-planner", "isobar-mapper"]),
    ("isobar-analyzer", &["isobar-model"]),
    ("isobar-planner", &["isobar-model"]),
    ("isobar-mapper", &["isobar-model"]),
    // The body: each implements ports.
    ("isobar-mover", &["isobar-model", "isobar-ports"]),
    ("isobar-raft", &["isobar-model", "isobar-ports", "isobar-storage"]),
    ("isobar-storage", &["isobar-model", "isobar-ports"]),
    ("isobar-policy", &["isobar-model", "isobar-ports"]),
    // First-party policies: as components, and natively as what the host falls back to.
    ("isobar-bundle", &["isobar-model", "isobar-ports", "isobar-guest-build", "policies"]),
    ("isobar-guest-build", &[]),
    // The seam between brain and body, and the words all speak.
    ("isobar-ports", &["isobar-model"]),
    ("isobar-model", &[]),
];

/// What the guests' workspace may import of ours: they are their authors' code, and speak the contract.
const GUEST_ARROWS: &[&str] = &["isobar-model", "policies"];

/// Libraries that have one home, so that they can be replaced there.
const HOMES: &[(&str, &[&str])] = &[
    ("wasmtime", &["isobar-policy"]),
    ("openraft", &["isobar-raft"]),
    ("openraft-multi", &["isobar-raft"]),
    ("fjall", &["isobar-storage"]),
    ("foyer", &["isobar-storage"]),
    ("axum", &["isobar-api"]),
    ("clap", &["isobar"]),
    ("parquet", &["isobar-intake", "isobar"]),
    ("png", &["isobar"]),
    ("embedded-graphics", &["isobar"]),
    ("wit-bindgen", &["policies"]),
    // Errors of libraries are types; only what ends in front of a person collects them.
    ("anyhow", &["isobar", "isobar-guest-build", "isobar-tests"]),
];

/// Crates that neither wait nor spawn: plain functions of their inputs, so that tests and simulation need no runtime.
const PURE: &[&str] = &[
    "isobar-model",
    "isobar-ports",
    "isobar-analyzer",
    "isobar-planner",
    "isobar-mapper",
    "isobar-control",
    "isobar-report",
    "policies",
];
const RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "futures-executor"];

/// What may lie at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "docs",
    "examples",
    "host",
    "policies",
    "rustfmt.toml",
    "sdk",
    "tests",
    "wit",
];

/// Files named for what they do to others and not for the noun they hold gather everything.
const NAMELESS: &[&str] = &["util.rs", "utils.rs", "helpers.rs", "service.rs", "manager.rs"];

/// How built binaries begin.
const BINARIES: &[(&str, &[u8])] = &[
    ("a WebAssembly module or component", b"\0asm"),
    ("an ELF binary", b"\x7fELF"),
    ("a Windows binary", b"MZ\x90"),
    ("a Mach-O binary", b"\xcf\xfa\xed\xfe"),
    ("an archive of objects", b"!<arch>\n"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata(manifest: &Path) -> Metadata {
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

/// Our crates and what each imports when it is built, its tests left aside. Those of the guests' workspace count as one, "policies".
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let guests = metadata(&root().join("policies/Cargo.toml"));
    let guest_names: BTreeSet<&str> = guests.packages.iter().map(|package| package.name.as_str()).collect();
    let known_as = |name: &str| if guest_names.contains(name) { "policies".to_owned() } else { name.to_owned() };
    let host = metadata(&root().join("Cargo.toml"));
    let mut imports = BTreeMap::<String, BTreeSet<String>>::new();
    for package in host.packages.iter().chain(&guests.packages) {
        let wanted = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        imports.entry(known_as(&package.name)).or_default().extend(wanted.map(|dependency| known_as(&dependency.name)));
    }
    imports
}

/// The files that git tracks, relative to the root.
fn tracked() -> Vec<PathBuf> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    let listed = listed.expect("this test asks git which files belong to the project");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    // Files deleted but not yet committed are still listed.
    names.split_terminator('\0').map(PathBuf::from).filter(|path| root().join(path).is_file()).collect()
}

fn assert_none(wrong: &[String], advice: &str) {
    assert!(wrong.is_empty(), "{}\n{advice}", wrong.join("\n"));
}

#[test]
fn arrows_between_crates_point_one_way() {
    let imports = imports();
    let mut wrong = Vec::new();
    for (package, imported) in &imports {
        let allowed = match ARROWS.iter().find(|(name, _)| name == package) {
            Some((_, allowed)) => *allowed,
            None if package == "policies" => GUEST_ARROWS,
            None => {
                wrong.push(format!("{package} has no place in the table of arrows"));
                continue;
            }
        };
        for import in imported.iter().filter(|import| imports.contains_key(*import)) {
            if !allowed.contains(&"*") && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{package} imports {import}"));
            }
        }
    }
    assert_none(&wrong, "Move the code to where the arrow may start, or put a trait into isobar-ports.");
}

#[test]
fn the_table_of_arrows_has_no_circle_and_no_ghost() {
    let imports = imports();
    for (at, (package, allowed)) in ARROWS.iter().enumerate() {
        assert!(imports.contains_key(*package), "{package} is in the table, but there is no such crate");
        for import in allowed.iter().filter(|import| !["*", "policies"].contains(import)) {
            let below =
                ARROWS.iter().position(|(name, _)| name == import).unwrap_or_else(|| panic!("no crate {import}"));
            assert!(below > at, "{package} may import {import}, which stands above it");
        }
    }
}

#[test]
fn libraries_stay_at_home() {
    let mut wrong = Vec::new();
    for (package, imported) in &imports() {
        for (library, homes) in HOMES {
            if imported.contains(*library) && !homes.contains(&package.as_str()) {
                wrong.push(format!("{package} imports {library}, whose home is {}", homes.join(", ")));
            }
        }
    }
    assert_none(&wrong, "Ask the home for what you need; let it speak in words of isobar-model.");
}

#[test]
fn pure_crates_have_no_runtime() {
    let mut wrong = Vec::new();
    for (package, imported) in imports().iter().filter(|(package, _)| PURE.contains(&package.as_str())) {
        wrong.extend(
            RUNTIMES
                .iter()
                .filter(|runtime| imported.contains(**runtime))
                .map(|runtime| format!("{package} imports {runtime}")),
        );
    }
    assert_none(&wrong, "Return what is to be done, and let the shell around it wait.");
}

#[test]
fn the_top_level_holds_only_what_has_a_place_there() {
    let top: BTreeSet<_> =
        tracked().iter().map(|path| path.iter().next().unwrap().to_string_lossy().into_owned()).collect();
    let wrong: Vec<_> = top.into_iter().filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect();
    assert_none(&wrong, "These lie at the top of the repository; give them a place below, or one in the list.");
}

#[test]
fn nothing_built_is_tracked() {
    let mut wrong = Vec::new();
    for path in tracked() {
        let mut head = [0; 8];
        let mut file = fs::File::open(root().join(&path)).unwrap();
        let length = file.read(&mut head).unwrap();
        for (what, magic) in BINARIES {
            if head[..length].starts_with(magic) {
                wrong.push(format!("{} is {what}", path.display()));
            }
        }
    }
    assert_none(&wrong, "Policies and programs are built from source.");
}

#[test]
fn files_are_named_by_the_noun_they_hold() {
    let nameless = |path: &PathBuf| path.file_name().is_some_and(|name| NAMELESS.iter().any(|wrong| name == *wrong));
    let wrong: Vec<_> = tracked().into_iter().filter(nameless).map(|path| path.display().to_string()).collect();
    assert_none(&wrong, "Name the file by the noun it holds.");
}

#[test]
fn exceptions_to_lints_give_their_reason() {
    // Written in two parts, or this file would not pass.
    let bare = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let mut wrong = Vec::new();
    for path in tracked().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let source = fs::read_to_string(root().join(&path)).unwrap();
        for (number, line) in source.lines().enumerate() {
            if bare.iter().any(|bare| line.trim_start().starts_with(bare)) {
                wrong.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_none(&wrong, "Write #[expect(lint, reason = \"…\")]: it says why, and tells when it is no longer needed.");
}
