//! Whether some bytes are a policy of this contract, told before anything is compiled.

use isobar_model::Role;
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_ports::Rejection;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wit_parser::decoding::{DecodedWasm, decode};

/// The version of the policy contract (`wit/policy.wit`) that this host speaks.
pub const CONTRACT: &str = "0.1.0";

const PACKAGE: &str = "isobar:policy";

fn rejected<T>(text: impl Display) -> Result<T, Rejection> {
    Err(Rejection(text.to_string()))
}

/// Reads what kind of policy `artifact` is from its interface. Costs milliseconds and runs nothing of it.
pub(crate) fn examine(artifact: &[u8]) -> Result<Role, Rejection> {
    check_header(artifact)?;
    // The parser is written for hostile input, but it is large, and an upload must never take the host down.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(artifact)))
        .or_else(|_| rejected("the component can't be read: the parser gave up on it"))?;
    let (resolve, world) = match decoded {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => {
            return rejected(
                "this is a WIT package, the description of an interface; upload a component that implements it",
            );
        }
        Err(error) => return rejected(format_args!("the component is malformed: {error:#}")),
    };
    let world = &resolve.worlds[world];
    let imports: Vec<_> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports: Vec<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    role_of(&imports, &exports)
}

/// Size, and the eight bytes every WebAssembly binary starts with.
fn check_header(artifact: &[u8]) -> Result<(), Rejection> {
    if artifact.len() > MAX_ARTIFACT_BYTES {
        return rejected(format_args!(
            "the artifact has {} bytes, more than the {MAX_ARTIFACT_BYTES} allowed; strip debug information from it",
            artifact.len()
        ));
    }
    match artifact {
        [] => rejected("the artifact is empty; upload a WebAssembly component"),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => rejected(
            "this is a core module, not a component; wrap it with `wasm-tools component new` or the wit-component crate",
        ),
        [b'(', ..] => rejected("this is WebAssembly text; upload the binary form of a component (`wasm-tools parse`)"),
        _ => rejected("this is not a WebAssembly component: it does not start with a component's header"),
    }
}

/// An interface's full name taken apart: `isobar:policy/placing@0.1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(full: &'a str) -> Self {
        let (path, version) = full.split_once('@').unwrap_or((full, ""));
        let (package, interface) = path.split_once('/').unwrap_or(("", path));
        Self { package, interface, version }
    }

    fn is_ours(&self) -> bool {
        self.package == PACKAGE
    }
}

/// Checks the names a component imports and exports against the worlds of the contract.
pub(crate) fn role_of(imports: &[impl AsRef<str>], exports: &[impl AsRef<str>]) -> Result<Role, Rejection> {
    // The version first: a component of another contract would fail every check below for reasons that only mislead.
    for full in imports.iter().map(AsRef::as_ref).chain(exports.iter().map(AsRef::as_ref)) {
        let name = Name::parse(full);
        if name.is_ours() && name.version != CONTRACT {
            return rejected(format_args!(
                "the component speaks version {} of the policy contract (`{full}`), this host speaks {CONTRACT}; build it against \
                 the host's wit/policy.wit",
                name.version
            ));
        }
    }
    for full in imports.iter().map(AsRef::as_ref) {
        let name = Name::parse(full);
        if name.is_ours() && matches!(name.interface, "logging" | "types") {
            continue;
        }
        let hint = if name.package.starts_with("wasi:") {
            "; build for wasm32-unknown-unknown, or with the tool's --stub-wasi"
        } else {
            ""
        };
        return rejected(format_args!(
            "the component imports `{full}`; a policy may import `{PACKAGE}/logging@{CONTRACT}` and nothing else{hint}"
        ));
    }
    let mut role = None;
    let mut has_lifecycle = false;
    for full in exports.iter().map(AsRef::as_ref) {
        let name = Name::parse(full);
        let found = match (name.is_ours(), name.interface) {
            (true, "lifecycle") => {
                has_lifecycle = true;
                continue;
            }
            (true, "types") => continue,
            (true, "forecasting") => Role::Forecast,
            (true, "placing") => Role::Place,
            _ => {
                return rejected(format_args!(
                    "the component exports `{full}`, which is no part of the policy contract; {WORLDS}"
                ));
            }
        };
        if role.replace(found).is_some() {
            return rejected(format_args!("the component exports more than one role; {WORLDS}"));
        }
    }
    match role {
        None => rejected(format_args!("the component has no role this host knows; {WORLDS}")),
        Some(_) if !has_lifecycle => {
            rejected(format_args!("the component does not export `{PACKAGE}/lifecycle@{CONTRACT}`; {WORLDS}"))
        }
        Some(role) => Ok(role),
    }
}

/// What a component may be.
const WORLDS: &str =
    "build it for exactly one of the worlds `forecasting-policy` and `placement-policy` of isobar:policy@0.1.0";

#[cfg(test)]
mod tests {
    use super::*;

    const LOGGING: &str = "isobar:policy/logging@0.1.0";
    const LIFECYCLE: &str = "isobar:policy/lifecycle@0.1.0";
    const PLACING: &str = "isobar:policy/placing@0.1.0";
    const FORECASTING: &str = "isobar:policy/forecasting@0.1.0";

    #[test]
    fn roles_are_told_by_what_is_exported() {
        assert_eq!(role_of(&[LOGGING, "isobar:policy/types@0.1.0"], &[LIFECYCLE, PLACING]), Ok(Role::Place));
        assert_eq!(role_of(&[] as &[&str], &[FORECASTING, LIFECYCLE]), Ok(Role::Forecast));
    }

    #[test]
    fn a_rejection_names_its_cause() {
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&["wasi:cli/environment@0.2.6"], &[LIFECYCLE, PLACING], "imports `wasi:cli/environment@0.2.6`"),
            (&["wasi:cli/environment@0.2.6"], &[LIFECYCLE, PLACING], "--stub-wasi"),
            (&["logging"], &[LIFECYCLE, PLACING], "imports `logging`"),
            (&["isobar:policy/clock@0.1.0"], &[LIFECYCLE, PLACING], "imports `isobar:policy/clock@0.1.0`"),
            (&[LOGGING], &[LIFECYCLE], "no role this host knows"),
            (&[LOGGING], &[LIFECYCLE, PLACING, FORECASTING], "more than one role"),
            (&[LOGGING], &[PLACING], "does not export `isobar:policy/lifecycle@0.1.0`"),
            (&[LOGGING], &[LIFECYCLE, PLACING, "run"], "exports `run`"),
            (&["isobar:policy/logging@9.0.0"], &[LIFECYCLE, PLACING], "speaks version 9.0.0"),
            (&[LOGGING], &["isobar:policy/placing@0.2.0"], "this host speaks 0.1.0"),
        ];
        for (imports, exports, expected) in cases {
            let Err(Rejection(text)) = role_of(imports, exports) else { panic!("{imports:?} {exports:?} was let in") };
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
    }

    #[test]
    fn the_contract_version_is_that_of_the_wit_file() {
        let wit = include_str!("../../../wit/policy.wit");
        assert!(wit.contains(&format!("package {PACKAGE}@{CONTRACT};")) && WORLDS.contains(CONTRACT));
    }

    #[test]
    fn bytes_that_are_no_component_are_told_apart() {
        let oversized = vec![0; MAX_ARTIFACT_BYTES + 1];
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (&oversized, "more than the 33554432 allowed"),
            (b"\0asm\x01\0\0\0", "core module"),
            (b"(component)", "text"),
            (b"PK\x03\x04", "not a WebAssembly component"),
            (b"\0asm\x0d\0\x01\0\xff\xff\xff", "malformed"),
            (b"\0asm\x0d\0\x01\0", "no role"),
        ];
        for (bytes, expected) in cases {
            let Err(Rejection(text)) = examine(bytes) else { panic!("{expected} was let in") };
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
    }

    proptest::proptest! {
        /// Promise 5: whatever is uploaded, the parser answers.
        #[test]
        fn any_bytes_are_answered(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
            bytes.extend(tail);
            proptest::prop_assert!(examine(&bytes).is_err());
        }
    }
}
