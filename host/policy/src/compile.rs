//! Compiling artifacts: here, or in a child process with a memory and a time limit of its own.

use crate::sandbox;
use isobar_ports::Rejection;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wasmtime::Engine;

/// Address space of a compiling child. It counts what threads and allocators only reserve, so it is far above what is touched.
pub const COMPILE_MEMORY_BYTES: u64 = 4 << 30;
/// CPU seconds of a compiling child: twelve times what the largest component known takes (Python, 18 MB).
pub const COMPILE_CPU_S: u64 = 120;
/// Wall time of a compiling child: twice its CPU time, for machines that do other things besides.
pub const COMPILE_WALL: Duration = Duration::from_secs(240);

/// Bytes of a child's complaint that are passed on.
const MAX_COMPLAINT_BYTES: u64 = 2 << 10;
/// How often a child is looked at: a small component compiles in 30 ms.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where artifacts are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process: for tests and tools that trust what they compile.
    #[default]
    InProcess,
    /// `program args… IN OUT`, which calls [`compile_child_main`].
    Child {
        /// The program, as a rule this very one.
        program: PathBuf,
        /// Its arguments before the two files.
        args: Vec<OsString>,
    },
}

impl Compiler {
    /// Machine code for `artifact`, as wasmtime writes it. `folder` is for the files that pass between the processes.
    pub(crate) fn compile(&self, engine: &Engine, artifact: &[u8], folder: &Path) -> Result<Vec<u8>, Rejection> {
        match self {
            Self::InProcess => {
                engine.precompile_component(artifact).map_err(|error| does_not_compile(&format!("{error:#}")))
            }
            Self::Child { program, args } => {
                let files = tempfile::tempdir_in(folder).map_err(|error| no_child(&error))?;
                compile_in_child(program, args, artifact, files.path())
            }
        }
    }
}

fn does_not_compile(cause: &str) -> Rejection {
    Rejection(format!("the component does not compile: {}", cause.trim()))
}

fn no_child(error: &io::Error) -> Rejection {
    Rejection(format!("the host could not start its compiler, upload the component again later: {error}"))
}

fn compile_in_child(program: &Path, args: &[OsString], artifact: &[u8], files: &Path) -> Result<Vec<u8>, Rejection> {
    let (input, output, complaint) = (files.join("in"), files.join("out"), files.join("err"));
    let failed = |error: io::Error| no_child(&error);
    std::fs::write(&input, artifact).map_err(failed)?;
    let mut child = Command::new(program)
        .args(args)
        .args([&input, &output])
        .env_clear()
        // A compiler that takes every core takes them from the data plane.
        .env("RAYON_NUM_THREADS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // A file, not a pipe: nobody reads while the child runs.
        .stderr(std::fs::File::create(&complaint).map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if started.elapsed() > COMPILE_WALL {
            // Both fail only where the child is gone already.
            let _ = child.kill();
            let _ = child.wait();
            return Err(does_not_compile(&format!("it took longer than {} s", COMPILE_WALL.as_secs())));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    if status.success() {
        return std::fs::read(&output).map_err(failed);
    }
    let mut said = Vec::new();
    if let Ok(file) = std::fs::File::open(&complaint) {
        let _ = file.take(MAX_COMPLAINT_BYTES).read_to_end(&mut said);
    }
    Err(does_not_compile(&cause_of(status, &String::from_utf8_lossy(&said))))
}

#[cfg(unix)]
fn cause_of(status: ExitStatus, said: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => format!("it took more than {COMPILE_CPU_S} s of CPU time"),
        Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS) => {
            format!("it took more than {} MiB of memory, or broke the compiler: {said}", COMPILE_MEMORY_BYTES >> 20)
        }
        Some(signal) => format!("the compiler was stopped by signal {signal}: {said}"),
        None => said.to_owned(),
    }
}

#[cfg(not(unix))]
fn cause_of(status: ExitStatus, said: &str) -> String {
    format!("{said} ({status})")
}

/// What the child does: limits itself, then compiles the artifact in `input` and writes the machine code to `output`. An error is the
/// child's to print on its standard error, and to exit with a status other than 0.
pub fn compile_child_main(input: &Path, output: &Path) -> io::Result<()> {
    limit_this_process()?;
    sandbox::rank_low();
    let artifact = std::fs::read(input)?;
    let code = sandbox::engine()
        .and_then(|engine| engine.precompile_component(&artifact))
        .map_err(|error| io::Error::other(format!("{error:#}")))?;
    std::fs::write(output, code)
}

#[cfg(unix)]
fn limit_this_process() -> io::Result<()> {
    let limits = [
        (libc::RLIMIT_AS, COMPILE_MEMORY_BYTES),
        (libc::RLIMIT_CPU, COMPILE_CPU_S),
        // No core file of somebody's artifact.
        (libc::RLIMIT_CORE, 0),
    ];
    for (resource, value) in limits {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: a system call that reads one plain struct, which outlives it.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process() -> io::Result<()> {
    Ok(())
}
