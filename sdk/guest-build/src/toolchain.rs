//! Finding a Rust toolchain that builds guests. Looks, never installs.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What guests are compiled for: no operating system, so that nothing is imported but the contract.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The command that mends a missing toolchain.
pub const MEND: &str = "make guest-toolchain";

/// How guests get their standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The active toolchain has a `wasm32-unknown-unknown` std (with rustup: `rustup target add wasm32-unknown-unknown`).
    Installed,
    /// Debian's `rustc-web` builds the std from `rust-web-src` along with the guests.
    Debian,
}

impl Route {
    /// A name for folders and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Debian => "debian",
        }
    }
}

/// Where to look. A value, so that tests can lay out surroundings of their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The active compiler: what Cargo names in `RUSTC`, else `rustc` on the path.
    pub rustc: PathBuf,
    /// Debian's compiler.
    pub debian_rustc: PathBuf,
    /// The standard library's workspace that `rust-web-src` installs, under the sysroot of `debian_rustc`.
    pub debian_library: PathBuf,
    /// Where to look for a WebAssembly linker beside the sysroots of both compilers.
    pub path: OsString,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            rustc: std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from),
            debian_rustc: "/usr/bin/rustc".into(),
            debian_library: "/usr/lib/rustlib/src/rust/library".into(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }
}

/// A toolchain that builds guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// How it comes by its standard library.
    pub route: Route,
    /// Its compiler.
    pub rustc: PathBuf,
    /// The linker, where the compiler has none of its own.
    pub linker: Option<PathBuf>,
}

impl Toolchain {
    /// The first route that stands in these surroundings; the error says what was looked for, and the command that mends it.
    pub fn detect(around: &Surroundings) -> Result<Self> {
        let installed = match Self::installed(around) {
            Ok(toolchain) => return Ok(toolchain),
            Err(why) => why,
        };
        let debian = match Self::debian(around) {
            Ok(toolchain) => return Ok(toolchain),
            Err(why) => why,
        };
        bail!(
            "no Rust toolchain for guests (target {TARGET}) was found.\n\
             - the active toolchain: {installed:#}\n\
             - Debian's rustc-web: {debian:#}\n\
             To mend it, run: {MEND}"
        )
    }

    /// The active toolchain, if it has a standard library for guests.
    pub fn installed(around: &Surroundings) -> Result<Self> {
        let libdir = ask(&around.rustc, &["--print", "target-libdir", "--target", TARGET])?;
        if !has_std(Path::new(&libdir)) {
            bail!("no standard library for {TARGET} in {libdir}");
        }
        Ok(Self { route: Route::Installed, rustc: around.rustc.clone(), linker: None })
    }

    /// Debian's toolchain, if compiler, library source and a linker are there.
    pub fn debian(around: &Surroundings) -> Result<Self> {
        let rustc = &around.debian_rustc;
        if !rustc.is_file() {
            bail!("{} is not there (package rustc-web)", rustc.display());
        }
        let lock = around.debian_library.join("Cargo.lock");
        if !lock.is_file() {
            bail!("{} is not there (package rust-web-src)", lock.display());
        }
        let linker = [&around.rustc, rustc]
            .into_iter()
            .filter_map(|rustc| Some((ask(rustc, &["--print", "sysroot"]).ok()?, host_of(rustc).ok()?)))
            .map(|(sysroot, host)| Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld"))
            .chain(std::env::split_paths(&around.path).map(|dir| dir.join("wasm-ld")))
            .find(|linker| linker.is_file())
            .context("no linker: neither rust-lld in a toolchain nor wasm-ld (package lld) on the path")?;
        Ok(Self { route: Route::Debian, rustc: rustc.clone(), linker: Some(linker) })
    }
}

/// Whether a compiled standard library lies in `libdir`.
fn has_std(libdir: &Path) -> bool {
    std::fs::read_dir(libdir).is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// The platform `rustc` runs on.
fn host_of(rustc: &Path) -> Result<String> {
    ask(rustc, &["-vV"])?
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names no host")
}

fn ask(rustc: &Path, arguments: &[&str]) -> Result<String> {
    let shown = || format!("{} {}", rustc.display(), arguments.join(" "));
    let output = Command::new(rustc).args(arguments).output().with_context(shown)?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout).with_context(shown)?.trim().to_owned())
}
