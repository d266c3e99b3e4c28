//! Building every guest of a Cargo workspace.

use crate::component::componentize;
use crate::toolchain::{Route, Surroundings, TARGET, Toolchain};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A guest, built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its package's name.
    pub name: String,
    /// Where its component lies.
    pub component: PathBuf,
}

/// A Cargo workspace of guests: every package in it with a `cdylib` is one.
#[derive(Clone, Debug)]
pub struct GuestWorkspace {
    root: PathBuf,
    watched: Vec<PathBuf>,
}

impl GuestWorkspace {
    /// The workspace at `root`, which holds its `Cargo.toml`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), watched: Vec::new() }
    }

    /// Also builds again when `path` outside of the workspace changes: the contract, a crate that guests share.
    #[must_use]
    pub fn watch(mut self, path: impl Into<PathBuf>) -> Self {
        self.watched.push(path.into());
        self
    }

    /// For build scripts: builds all guests, tells Cargo when to do it again; on failure prints what to do and exits.
    #[must_use]
    pub fn build_for_cargo(&self) -> Vec<Guest> {
        self.print_watches();
        let built = target_folder().and_then(|folder| {
            let toolchain = Toolchain::detect(&Surroundings::of_this_process())?;
            self.build(&toolchain, &folder)
        });
        match built {
            Ok(guests) => guests,
            Err(error) => {
                // `cargo::error` is what Cargo shows first and without a backtrace; it takes one line at a time.
                for line in format!("{error:#}").lines() {
                    println!("cargo::error={line}");
                }
                std::process::exit(1)
            }
        }
    }

    /// Builds all guests with `toolchain`, sorted by name. Everything made lies under `target_folder`.
    pub fn build(&self, toolchain: &Toolchain, target_folder: &Path) -> Result<Vec<Guest>> {
        let root =
            self.root.canonicalize().with_context(|| format!("no guest workspace at {}", self.root.display()))?;
        // Each route has a folder of its own: two compilers in one would build everything anew in turn.
        let folder = target_folder.join(toolchain.route.name());
        let mut guests = self
            .compile(&root, toolchain, &folder)?
            .into_iter()
            .map(|(name, module)| {
                let component = folder.join(format!("{name}.component.wasm"));
                let bytes = std::fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
                let bytes = componentize(&bytes).with_context(|| format!("guest {name}"))?;
                write_if_changed(&component, &bytes)?;
                Ok(Guest { name, component })
            })
            .collect::<Result<Vec<_>>>()?;
        guests.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(guests)
    }

    /// Package names and core modules.
    fn compile(&self, root: &Path, toolchain: &Toolchain, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let manifest = root.join("Cargo.toml");
        // A lock that fits is law; one that does not (a guest's manifest was edited) is brought up to date, as Cargo does everywhere.
        let mut locked = root.join("Cargo.lock").is_file();
        let output = loop {
            let output = run(cargo(root, toolchain, folder, locked), &manifest)?;
            if output.status.success() {
                break output;
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            if locked && stderr.contains("--locked") {
                println!(
                    "cargo::warning={} does not fit its manifests and is brought up to date",
                    manifest.with_extension("lock").display()
                );
                locked = false;
                continue;
            }
            bail!("the guests of {} do not build ({} route):\n{stderr}", root.display(), toolchain.route.name());
        };
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| artifact_of(line).transpose()).collect()
    }

    fn print_watches(&self) {
        // Folder by folder, since Cargo looks into folders to any depth, and a `target` of the guests' own must not count.
        let mut watched = self.watched.clone();
        for entry in entries_of(&self.root) {
            if entry.is_dir() { watched.extend(entries_of(&entry)) } else { watched.push(entry) }
        }
        watched.retain(|path| path.file_name().is_none_or(|name| name != "target"));
        for path in watched {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        for variable in ["RUSTUP_TOOLCHAIN", "RUSTC"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
    }
}

fn entries_of(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_none_or(|name| name != "target"))
        .collect();
    entries.sort();
    entries
}

/// `target/debug/guests`, found from a build script's `OUT_DIR` (`target/debug/build/PACKAGE-HASH/out`), so that all build scripts of
/// one profile share what they build; else within `OUT_DIR` itself.
fn target_folder() -> Result<PathBuf> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set: this is for build scripts")?);
    let shared = out.ancestors().nth(2).filter(|build| build.ends_with("build")).and_then(Path::parent);
    Ok(shared.unwrap_or(&out).join("guests"))
}

fn cargo(root: &Path, toolchain: &Toolchain, folder: &Path, locked: bool) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What the outer Cargo tells a build script of its own package and profile is not meant for the guests.
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let kept = [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTRIES_",
            "CARGO_REGISTRY_",
            "CARGO_SOURCE_",
        ];
        let confuses = name.starts_with("CARGO") && !kept.iter().any(|prefix| name.starts_with(prefix))
            || ["RUSTC", "RUSTFLAGS", "RUSTDOC"].iter().any(|prefix| name.starts_with(prefix))
            || [
                "TARGET",
                "HOST",
                "OUT_DIR",
                "PROFILE",
                "OPT_LEVEL",
                "DEBUG",
                "NUM_JOBS",
                "MAKEFLAGS",
                "LD_LIBRARY_PATH",
            ]
            .contains(&name)
            || name.starts_with("DEP_");
        if confuses {
            command.env_remove(name);
        }
    }
    command
        .current_dir(root)
        .args(["build", "--workspace", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .env("CARGO_TARGET_DIR", folder)
        .env("RUSTC", &toolchain.rustc)
        // Small, fast, and the same bytes wherever the sources lie: an artifact's digest is its revision's name.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(root).join("\x1f"));
    if locked {
        command.arg("--locked");
    }
    match toolchain.route {
        Route::Installed => {}
        Route::Debian => {
            // rustc-web ships the sources of the standard library and no compiled one for this target. Building it is an unstable
            // flag of Cargo; the bootstrap variable is how a distribution's stable compiler takes it.
            command.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
        }
    }
    if let Some(linker) = &toolchain.linker {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    command.stdin(Stdio::null());
    command
}

/// Vectors of 128 bits, which every host of this contract runs and which change no bit of a result. And what keeps this machine's folders
/// out of panic messages: the workspace's parent too, since guests share crates that lie beside their workspace.
fn rustflags(root: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let around = root.parent().unwrap_or(root);
    // Of those that match, the compiler takes the last.
    let remapped = [remap(around, "sources")].into_iter().chain(cargo_home.iter().map(|home| remap(home, "cargo")));
    ["-Ctarget-feature=+simd128".to_owned()].into_iter().chain(remapped).collect()
}

fn run(mut command: Command, manifest: &Path) -> Result<Output> {
    command.output().with_context(|| format!("running cargo for {}", manifest.display()))
}

/// Package name and core module of one line of Cargo's JSON messages, if it tells of a guest.
fn artifact_of(line: &str) -> Result<Option<(String, PathBuf)>> {
    let message: Value = serde_json::from_str(line).context("reading Cargo's messages")?;
    let is_guest = message["reason"] == "compiler-artifact"
        && message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"));
    if !is_guest {
        return Ok(None);
    }
    let module = message["filenames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|file| file.ends_with(".wasm"))
        .context("a cdylib without a module in Cargo's messages")?;
    // The library's name has underscores for hyphens; the package's is the last part of its id: `path+file:///…/NAME#0.1.0` or
    // `…#NAME@0.1.0`.
    let id = message["package_id"].as_str().unwrap_or_default();
    let (place, version) = id.rsplit_once('#').unwrap_or((id, ""));
    let name = version.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or(place), |(name, _)| name);
    Ok(Some((name.to_owned(), module.into())))
}

/// Writes only what differs, so that whatever embeds the file is not compiled again for nothing.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
