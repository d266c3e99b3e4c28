//! `isobar`: a sharded, replicated key-value store whose placement brain is yours.

mod demo;
mod embedded;
mod gateway;
mod node;
mod run;

use clap::{Parser, Subcommand};
use isobar::cli::{Assess, ClientCommand, Target, report_failure};
use std::path::PathBuf;
use std::process::ExitCode;

/// A sharded, replicated key-value store whose placement brain is yours: forecasting and placement policies are sandboxed WebAssembly
/// components, swapped while it serves.
#[derive(Debug, Parser)]
#[command(
    name = "isobar",
    version,
    after_help = "Begin with `isobar demo` (five minutes, a real trace) or `isobar dev` (a cluster to play with)."
)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole loop on a real trace and print what it came to
    Demo(demo::DemoArgs),
    /// Start an embedded cluster and stay: several nodes in this process
    Dev(run::DevArgs),
    /// Run one node of a cluster
    Serve(run::ServeArgs),
    /// Tell, from any store's log, what moving shards would have done for it; moves nothing
    Assess(Box<Assess>),
    /// Run a scenario in virtual time and compare ways of placing shards
    Simulate(isobar::simulate::SimulateArgs),
    /// Compile a component for this machine (used by the node itself, in a process with limits of its own)
    #[command(hide = true)]
    CompilePolicy {
        /// The component.
        input: PathBuf,
        /// Where the machine code goes.
        output: PathBuf,
    },
    #[command(flatten)]
    Client(ClientCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompilePolicy { input, output } = &cli.command {
        return match isobar_policy::compile_child_main(input, output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Command::Assess(assess) = &cli.command {
        return match assess.run(cli.target.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report_failure(&error, cli.target.json),
        };
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("ISOBAR_LOG");
    let default = if matches!(cli.command, Command::Serve(_)) { "info,openraft=error" } else { "error,openraft=off" };
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default)))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime can't be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let command = match cli.command {
        Command::Client(command) => {
            return match runtime.block_on(command.run(&cli.target)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => report_failure(&error, cli.target.json),
            };
        }
        // All computing, nothing to wait for.
        Command::Simulate(args) => {
            return match args.run(&cli.target) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => report_failure(&error, cli.target.json),
            };
        }
        command @ (Command::Demo(_)
        | Command::Dev(_)
        | Command::Serve(_)
        | Command::Assess(_)
        | Command::CompilePolicy { .. }) => command,
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Dev(args) => run::dev(args).await,
            Command::Serve(args) => run::serve(args, cli.target.token).await,
            Command::Assess(_) | Command::CompilePolicy { .. } | Command::Client(_) | Command::Simulate(_) => Ok(()),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
