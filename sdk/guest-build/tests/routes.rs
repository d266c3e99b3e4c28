//! Each route to a guest toolchain that stands on this machine builds real guests; the others are shown to be looked for, and named in
//! the error with the command that mends it.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that can not set up its machine has failed")]

use isobar_guest_build::{GuestWorkspace, MEND, Route, Surroundings, Toolchain, interfaces_of};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(path: &Path, body: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// An empty folder for one test. Not `tempfile`'s: this crate is a build dependency, and the features that its tests ask for would have
/// what wasmtime stands on built twice.
fn scratch(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("routes").join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A machine of its own: a compiler that answers what is asked of it, and folders to fill.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn bare(test: &str) -> Self {
        let machine = Self { root: scratch(test) };
        let sysroot = machine.at("toolchain");
        script(
            &machine.at("bin/rustc"),
            &format!(
                "case \"$*\" in\n*target-libdir*) echo {0}/lib/rustlib/wasm32-unknown-unknown/lib;;\n*sysroot*) echo {0};;\n*) echo 'host: here';;\nesac",
                sysroot.display()
            ),
        );
        std::fs::create_dir_all(machine.std_folder()).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn std_folder(&self) -> PathBuf {
        self.at("toolchain/lib/rustlib/wasm32-unknown-unknown/lib")
    }

    fn touch(&self, path: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), "").unwrap();
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            rustc: self.at("bin/rustc"),
            debian_rustc: self.at("debian/rustc"),
            debian_library: self.at("debian/library"),
            path: self.at("bin").into(),
        }
    }

    /// Runs `toolchain.sh` on this machine.
    fn mend(&self) -> Output {
        for tool in ["sh", "id", "timeout", "cat", "sleep", "mkdir", "touch", "chmod", "cp"] {
            let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|dir| dir.join(tool))
                .find(|p| p.is_file());
            let _ = std::os::unix::fs::symlink(real.unwrap(), self.at("bin").join(tool));
        }
        script(&self.at("bin/sudo"), "shift; exec \"$@\"");
        Command::new("/bin/sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/toolchain.sh"))
            .env_clear()
            .env("PATH", self.at("bin"))
            .env("STD", self.std_folder())
            .env("DEBIAN", self.at("debian"))
            .env("ISOBAR_DEBIAN_RUSTC", self.at("debian/rustc"))
            .env("ISOBAR_DEBIAN_LIBRARY", self.at("debian/library"))
            .env("ISOBAR_RUSTUP_TIMEOUT_S", "1")
            .output()
            .unwrap()
    }
}

const STD: &str = "toolchain/lib/rustlib/wasm32-unknown-unknown/lib/libstd-0.rlib";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_installed_std_is_the_first_route() {
    let machine = Machine::bare("installed");
    machine.touch(STD);
    machine.touch("debian/rustc");
    machine.touch("debian/library/Cargo.lock");
    let toolchain = Toolchain::detect(&machine.surroundings()).unwrap();
    assert_eq!((toolchain.route, toolchain.linker), (Route::Installed, None));
    let output = machine.mend();
    assert!(output.status.success() && said(&output).contains("route 1"), "{}", said(&output));
}

#[test]
fn rustup_is_the_second_route() {
    let machine = Machine::bare("rustup");
    script(&machine.at("bin/rustup"), "[ \"$*\" = 'target add wasm32-unknown-unknown' ] && touch $STD/libstd-0.rlib");
    let output = machine.mend();
    assert!(output.status.success() && said(&output).contains("route 2, rustup has added"), "{}", said(&output));
    assert_eq!(Toolchain::detect(&machine.surroundings()).unwrap().route, Route::Installed);
}

#[test]
fn debian_is_the_third_route_where_rustup_fails_or_hangs() {
    for (rustup, test) in [("exit 1", "rustup-fails"), ("sleep 600", "rustup-hangs")] {
        let machine = Machine::bare(test);
        script(&machine.at("bin/rustup"), rustup);
        machine.touch("toolchain/lib/rustlib/here/bin/rust-lld");
        script(
            &machine.at("bin/apt-get"),
            "[ $1 = update ] && exit 0\n[ \"${*##*recommends }\" = 'rustc-web rust-web-src' ] || exit 1\n\
             mkdir -p $DEBIAN/library && touch $DEBIAN/library/Cargo.lock && cp ${0%/*}/rustc $DEBIAN/rustc",
        );
        let output = machine.mend();
        assert!(output.status.success() && said(&output).contains("route 3"), "{}", said(&output));
        let toolchain = Toolchain::detect(&machine.surroundings()).unwrap();
        assert_eq!(toolchain.route, Route::Debian);
        assert_eq!(toolchain.rustc, machine.at("debian/rustc"));
        assert_eq!(toolchain.linker, Some(machine.at("toolchain/lib/rustlib/here/bin/rust-lld")));
    }
}

#[test]
fn with_no_route_the_error_names_what_is_missing_and_the_command_that_mends_it() {
    let machine = Machine::bare("none");
    let error = Toolchain::detect(&machine.surroundings()).unwrap_err().to_string();
    for part in ["no standard library for wasm32-unknown-unknown", "package rustc-web", MEND] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    machine.touch("debian/rustc");
    let error = Toolchain::detect(&machine.surroundings()).unwrap_err().to_string();
    assert!(error.contains("package rust-web-src"), "{error}");

    std::fs::remove_file(machine.at("debian/rustc")).unwrap();
    let output = machine.mend();
    assert!(!output.status.success());
    assert!(said(&output).contains("none of the routes stands"), "{}", said(&output));
}

/// The real thing: every route that stands on this machine turns the same sources into components of the contract and nothing else.
#[test]
fn every_route_that_stands_here_builds_components_that_import_only_the_contract() {
    let around = Surroundings::of_this_process();
    let standing: Vec<_> =
        [Toolchain::installed(&around), Toolchain::debian(&around)].into_iter().filter_map(Result::ok).collect();
    assert!(!standing.is_empty(), "no route stands here: run {MEND}");
    // Where build scripts put theirs, so that what is built already is not built again.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("debug").join("guests");
    for toolchain in standing {
        let guests = GuestWorkspace::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests"))
            .build(&toolchain, &folder)
            .unwrap();
        assert_eq!(guests.iter().map(|guest| &*guest.name).collect::<Vec<_>>(), ["echo-policy"], "{toolchain:?}");
        let (imports, exports) = interfaces_of(&std::fs::read(&guests[0].component).unwrap()).unwrap();
        assert!(imports.iter().all(|name| name.starts_with("isobar:policy/")), "{toolchain:?} imports {imports:?}");
        assert!(exports.contains(&"isobar:policy/lifecycle@0.1.0".to_owned()), "{toolchain:?} exports {exports:?}");
    }
}

#[test]
fn sources_that_do_not_compile_are_shown_with_the_compilers_words() {
    let around = Surroundings::of_this_process();
    let toolchain = Toolchain::detect(&around).unwrap();
    let folder = scratch("broken");
    let crate_folder = folder.join("broken");
    std::fs::create_dir_all(crate_folder.join("src")).unwrap();
    std::fs::write(
        crate_folder.join("Cargo.toml"),
        "[package]\nname = \"broken\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n",
    )
    .unwrap();
    std::fs::write(crate_folder.join("src/lib.rs"), "fn f() -> u32 { no_such_thing }").unwrap();
    let error = GuestWorkspace::new(&crate_folder).build(&toolchain, &folder.join("out")).unwrap_err();
    assert!(format!("{error:#}").contains("no_such_thing"), "{error:#}");

    // A module of no contract builds, and is refused with what is missing.
    std::fs::write(crate_folder.join("src/lib.rs"), "#[unsafe(no_mangle)] pub extern \"C\" fn f() -> u32 { 1 }")
        .unwrap();
    let error = GuestWorkspace::new(&crate_folder).build(&toolchain, &folder.join("out")).unwrap_err();
    assert!(format!("{error:#}").contains("exports nothing"), "{error:#}");
}
