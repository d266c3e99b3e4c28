//! Promise 5: no policy (trap, hang, garbage, NaN, hostile) can stop the host, get an answer outside the contract past it, or exceed its
//! budget. Each hostile guest of `tests/guests` is contained with a message that names the cause, and the host goes on.

#![expect(clippy::unwrap_used, reason = "a test that can not set up its host has failed")]

use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_model::{
    ClusterView, Digest, ForecastBatch, ForecastRequest, InstantMs, KeyspaceId, Link, LoadBatch, Metric, NodeColumns,
    NodeId, NodeState, PlacementLimits, Relations, Role, ShardColumns, ShardId, ZoneId,
};
use isobar_policy::{Compiler, Limits, WasmHost, WasmHostConfig};
use isobar_ports::{Forecaster, PolicyFailure, PolicyHost, Rejection};
use std::path::Path;

const FORECASTER: &[u8] = include_bytes!(env!("GUEST_HOSTILE_FORECASTER"));
const PLACER: &[u8] = include_bytes!(env!("GUEST_HOSTILE_PLACER"));

/// Enough for all that is honest here, and soon used up.
const FUEL: u64 = 200_000_000;

fn limits() -> Limits {
    Limits {
        fuel: FUEL,
        fuel_per_cell: 0,
        fuel_per_row: 0,
        fuel_per_refit: 0,
        memory_bytes: 64 << 20,
        memory_bytes_per_row: 0,
        ..Limits::default()
    }
}

fn host_with(folder: &Path, limits: Limits, compiler: Compiler) -> WasmHost {
    WasmHost::new(WasmHostConfig {
        cache_dir: folder.to_owned(),
        compiler,
        limits,
        builtin_forecaster: Box::new(|| panic!("these tests ask for no built-in policy")),
        builtin_placer: Box::new(|| panic!("these tests ask for no built-in policy")),
    })
    .unwrap()
}

/// A host, and the folder that goes with it.
struct Stage {
    host: WasmHost,
    forecaster: Digest,
    placer: Digest,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        Self::set_with(limits())
    }

    fn set_with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = host_with(folder.path(), limits, Compiler::InProcess);
        let forecaster = host.inspect(FORECASTER).unwrap().digest;
        let placer = host.inspect(PLACER).unwrap().digest;
        Self { host, forecaster, placer, _folder: folder }
    }

    fn forecaster(&self, misbehave: &str, when: &str) -> Result<Box<dyn Forecaster>, PolicyFailure> {
        self.host.forecaster(&self.forecaster, &format!(r#"{{"misbehave": "{misbehave}", "when": "{when}"}}"#), None)
    }

    /// A forecaster that has seen load, and misbehaves in `predict` from then on.
    fn primed(&self, misbehave: &str) -> Box<dyn Forecaster> {
        let mut forecaster = self.forecaster(misbehave, "predict").unwrap();
        forecaster.observe(&batch()).unwrap();
        forecaster
    }

    /// What the host must still be good for after anything.
    fn assert_well(&self) {
        let mut good = self.forecaster("", "").unwrap();
        good.observe(&batch()).unwrap();
        assert_eq!(good.predict(&request()), Ok(last_value()));
        let plan = self.host.placer(&self.placer, "{}", None).unwrap().propose(&view()).unwrap();
        assert_eq!(plan.moves.len(), 1);
    }
}

fn batch() -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(1_790_000_100_000),
        step_ms: 300_000,
        steps: 2,
        shards: vec![ShardId(4), ShardId(9)],
        values: vec![1.0, 5.0, 7.0, f32::NAN],
    }
}

fn request() -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: vec![ShardId(4), ShardId(9)],
        horizon: 3,
        quantiles: vec![0.1, 0.9],
        peak_steps: 2,
    }
}

fn relations() -> Relations {
    let link = Link { follower: ShardId(4), leader: ShardId(9), lag_steps: 2, strength: 0.8, gain: 0.5 };
    Relations { links: vec![link], clusters: vec![vec![ShardId(9), ShardId(4)]] }
}

/// What a good guest answers: the last value of each shard.
fn last_value() -> ForecastBatch {
    let row = |value: f32, count: usize| vec![value; count];
    ForecastBatch { values: [row(5.0, 6), row(7.0, 6)].concat(), peaks: [row(5.0, 2), row(7.0, 2)].concat() }
}

fn view() -> ClusterView {
    ClusterView {
        now: InstantMs(1_790_000_100_000),
        step_ms: 300_000,
        steps: 2,
        quantiles: vec![0.5],
        nodes: NodeColumns {
            ids: vec![NodeId(1), NodeId(2), NodeId(3)],
            zones: vec![ZoneId(1), ZoneId(2), ZoneId(3)],
            states: vec![NodeState::Up; 3],
            capacity: vec![100.0; 3],
            load: vec![10.0; 3],
            background: vec![0.0; 6],
            used_bytes: vec![1 << 20; 3],
            capacity_bytes: vec![1 << 30; 3],
            labels: Vec::new(),
        },
        shards: ShardColumns {
            ids: vec![ShardId(4), ShardId(9)],
            keyspaces: vec![KeyspaceId(1); 2],
            bytes: vec![1 << 20; 2],
            leader_load: vec![5.0; 2],
            follower_share: vec![0.2; 2],
            predicted: vec![5.0; 4],
            replica_offsets: vec![0, 2, 4],
            replicas: vec![0, 1, 1, 2],
            last_moved: vec![InstantMs(0); 2],
            move_steps: vec![1.0; 2],
            move_cost: vec![0.0; 2],
        },
        moving: vec![],
        limits: PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 4,
            cool_down_ms: 0,
            max_utilisation: 0.9,
            leader_steps: 0.1,
        },
        placement: Vec::new(),
        resources: Vec::new(),
        scenarios: None,
        seed: 7,
    }
}

fn rejection(artifact: &[u8]) -> String {
    let stage = Stage::set();
    let Rejection(text) = stage.host.inspect(artifact).unwrap_err();
    stage.assert_well();
    text
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

// ---- what is uploaded ----

#[test]
fn promise_5_an_oversized_upload_is_rejected_with_both_sizes() {
    assert_says(&rejection(&vec![0; MAX_ARTIFACT_BYTES + 1]), &["33554433 bytes", "33554432 allowed"]);
}

#[test]
fn promise_5_a_malformed_upload_is_rejected() {
    assert_says(&rejection(b"hello"), &["not a WebAssembly component"]);
    assert_says(&rejection(&FORECASTER[..FORECASTER.len() / 2]), &["malformed"]);
    // Bytes of code turned over: the parser or the compiler finds it, and neither takes the host down.
    let mut harmed = FORECASTER.to_vec();
    let middle = harmed.len() / 2;
    harmed[middle..middle + 64].iter_mut().for_each(|byte| *byte = !*byte);
    rejection(&harmed);
}

#[test]
fn promise_5_a_core_module_is_rejected_with_what_to_do() {
    assert_says(&rejection(b"\0asm\x01\0\0\0"), &["core module, not a component", "wasm-tools component new"]);
}

#[test]
fn promise_5_a_foreign_import_is_rejected_by_name() {
    let text = rejection(include_bytes!(env!("GUEST_FOREIGN_IMPORT")));
    assert_says(&text, &["imports `acme:spy/files@1.0.0`", "isobar:policy/logging@0.1.0"]);
}

#[test]
fn promise_5_another_contract_version_is_rejected_with_both_versions() {
    let text = rejection(include_bytes!(env!("GUEST_FUTURE_CONTRACT")));
    assert_says(&text, &["speaks version 9.0.0", "this host speaks 0.1.0"]);
}

#[test]
fn promise_5_a_policy_of_no_known_role_is_rejected_with_the_roles_there_are() {
    let text = rejection(include_bytes!(env!("GUEST_NO_ROLE")));
    assert_says(&text, &["no role this host knows", "forecasting-policy", "placement-policy"]);
}

#[test]
fn promise_5_a_component_of_the_right_names_and_wrong_types_is_rejected() {
    let text = rejection(include_bytes!(env!("GUEST_WRONG_TYPES")));
    assert_says(&text, &["does not fit the contract 0.1.0", "does not have export `open`"]);
}

#[test]
fn promise_5_a_description_outside_the_contract_is_rejected() {
    let text = rejection(include_bytes!(env!("GUEST_BAD_DESCRIPTION")));
    assert_says(&text, &["does not describe itself", "the name \"../../etc/passwd\""]);
}

#[test]
fn an_accepted_upload_says_what_it_is() {
    let stage = Stage::set();
    let inspection = stage.host.inspect(FORECASTER).unwrap();
    assert_eq!((inspection.role, &*inspection.description.name), (Role::Forecast, "hostile-forecaster"));
    assert_eq!(inspection.digest, Digest::of(FORECASTER));
    assert!(inspection.imports.iter().all(|name| name.starts_with("isobar:policy/")), "{:?}", inspection.imports);
}

// ---- what a running policy does ----

#[test]
fn promise_5_an_endless_loop_runs_out_of_fuel_in_any_call() {
    let stage = Stage::set();
    let spent = Err(PolicyFailure::OutOfFuel { limit: FUEL });
    assert_eq!(stage.forecaster("spin", "open").err(), spent.clone().err());
    assert_eq!(stage.forecaster("spin", "observe").unwrap().observe(&batch()), spent);
    assert_eq!(stage.primed("spin").predict(&request()).map(drop), spent);
    assert_eq!(stage.forecaster("spin", "save").unwrap().save().map(drop), spent);
    assert_eq!(stage.forecaster("spin", "relate").unwrap().relate(Metric::Load, &relations()), spent);
    assert_eq!(stage.forecaster("spin", "forget").unwrap().forget(&[ShardId(4)]), spent);
    let mut placer = stage.host.placer(&stage.placer, r#"{"misbehave": "spin"}"#, None).unwrap();
    assert_eq!(placer.propose(&view()).map(drop), spent);
    assert_eq!(placer.usage().fuel, FUEL);
    stage.assert_well();
}

#[test]
fn promise_5_an_endless_loop_with_fuel_left_meets_its_deadline() {
    let stage = Stage::set_with(Limits { fuel: u64::MAX / 2, wall_ms: 200, ..limits() });
    let failure = stage.primed("spin").predict(&request()).unwrap_err();
    assert_eq!(failure, PolicyFailure::Deadline { limit_ms: 200 });
    assert_says(&failure.to_string(), &["did not answer within 200 ms"]);
    stage.assert_well();
}

#[test]
fn promise_5_a_memory_bomb_goes_off_in_its_own_memory() {
    let stage = Stage::set();
    for when in ["open", "observe"] {
        let failure = match stage.forecaster("memory-bomb", when) {
            Err(failure) => failure,
            Ok(mut forecaster) => {
                let failure = forecaster.observe(&batch()).unwrap_err();
                assert!(forecaster.usage().memory_bytes <= 64 << 20);
                failure
            }
        };
        assert_says(&failure.to_string(), &["trapped", "more memory than its 64 MiB"]);
    }
    stage.assert_well();
}

#[test]
fn promise_5_deep_recursion_ends_at_the_guests_own_stack() {
    let stage = Stage::set();
    let failure = stage.primed("recurse").predict(&request()).unwrap_err();
    assert_says(&failure.to_string(), &["trapped", "recursed too deep"]);
    let failure = stage.primed("recurse-in-memory").predict(&request()).unwrap_err();
    assert_says(&failure.to_string(), &["trapped", "recursed past its own stack"]);
    stage.assert_well();
}

#[test]
fn promise_5_a_panic_in_any_call_is_a_trap() {
    let stage = Stage::set();
    let failures = [
        stage.forecaster("panic", "open").err().unwrap(),
        stage.forecaster("panic", "observe").unwrap().observe(&batch()).unwrap_err(),
        stage.primed("panic").predict(&request()).unwrap_err(),
        stage.forecaster("panic", "save").unwrap().save().unwrap_err(),
        stage.forecaster("panic", "relate").unwrap().relate(Metric::Load, &relations()).unwrap_err(),
        stage.forecaster("panic", "forget").unwrap().forget(&[ShardId(4)]).unwrap_err(),
    ];
    for failure in failures {
        assert_says(&failure.to_string(), &["trapped", "panicked or aborted"]);
    }
    stage.assert_well();
}

#[test]
fn promise_5_a_huge_answer_is_not_even_copied() {
    let stage = Stage::set_with(Limits { memory_bytes: 1 << 30, fuel: 20_000_000_000, ..limits() });
    let failure = stage.primed("huge-return").predict(&request()).unwrap_err();
    assert_says(&failure.to_string(), &["outside the contract", "larger than this call may give"]);
    let failure = stage.forecaster("huge-save", "").unwrap().save().unwrap_err();
    assert_says(&failure.to_string(), &["outside the contract", "67108865 bytes"]);
    let mut placer = stage.host.placer(&stage.placer, r#"{"misbehave": "million-moves"}"#, None).unwrap();
    let failure = placer.propose(&view()).unwrap_err();
    assert_says(&failure.to_string(), &["outside the contract", "larger than this call may give"]);
    stage.assert_well();
}

#[test]
fn promise_5_a_forecast_outside_the_contract_is_refused_with_its_cause() {
    let stage = Stage::set();
    for (misbehave, parts) in [
        ("nan", &["shard 4, step 1", "NaN"][..]),
        ("infinite", &["shard 4, step 1", "inf"]),
        ("negative", &["shard 4, step 1", "-1"]),
        ("nan-peak", &["shard 4, peak", "NaN"]),
        ("falling-quantiles", &["shard 4, step 0", "lies below"]),
        ("falling-peaks", &["shard 4, peak", "lies below"]),
        ("short", &["11 values", "12 are due"]),
        ("long", &["13 values", "12 are due"]),
        ("no-peaks", &["0 peaks where 4 are due"]),
    ] {
        let mut forecaster = stage.primed(misbehave);
        let failure = forecaster.predict(&request()).unwrap_err();
        assert!(matches!(failure, PolicyFailure::Invalid(_)), "{misbehave}: {failure}");
        assert_says(&failure.to_string(), parts);
    }
    stage.assert_well();
}

#[test]
fn promise_5_a_plan_outside_the_contract_is_refused_with_its_cause() {
    let stage = Stage::set();
    for (misbehave, expected) in [
        ("unknown-shard", "move 0: shard 999999 is not in the view"),
        ("huge-shard", "move 0: shard 18446744073709551615 is not in the view"),
        ("unknown-node", "move 0: node 999999 is not in the view"),
        ("unknown-source", "move 0: node 999999 is not in the view"),
        ("unknown-target", "is not in the view"),
        ("unknown-neighbour", "move 0: shard 999999 is not in the view"),
        ("nan-gain", "move 0: a gain of NaN"),
        ("infinite-gain", "move 0: a gain of inf"),
        ("urgency", "move 0: an urgency of 1.5"),
        ("nan-urgency", "move 0: an urgency of NaN"),
        ("far-start", "instants stay below 2^53"),
        ("too-many-moves", "10001 moves, more than the 10000 allowed"),
    ] {
        let config = format!(r#"{{"misbehave": "{misbehave}"}}"#);
        let mut placer = stage.host.placer(&stage.placer, &config, None).unwrap();
        let failure = placer.propose(&view()).unwrap_err();
        assert!(matches!(failure, PolicyFailure::Invalid(_)), "{misbehave}: {failure}");
        assert_says(&failure.to_string(), &[expected]);
        assert_eq!(placer.propose(&view()), Err(failure), "{misbehave}: dead for ever");
    }
    stage.assert_well();
}

#[test]
fn promise_5_texts_are_cut_not_refused() {
    let stage = Stage::set();
    let propose = |misbehave: &str| {
        let config = format!(r#"{{"misbehave": "{misbehave}"}}"#);
        stage.host.placer(&stage.placer, &config, None).unwrap().propose(&view()).unwrap()
    };
    assert_eq!(propose("long-reason").moves[0].reason, "x".repeat(511));
    let notes = propose("many-notes").notes;
    assert_eq!((notes.len(), notes[0].len()), (100, 512));
    let PolicyFailure::Policy(text) = stage.forecaster("huge-text", "").err().unwrap() else {
        panic!("not the policy's own words")
    };
    assert_eq!(text.len(), 512);
}

#[test]
fn promise_5_a_flood_of_log_lines_costs_only_the_guests_own_fuel() {
    let stage = Stage::set_with(Limits { fuel: 20_000_000_000, ..limits() });
    for misbehave in ["log-flood", "log-huge"] {
        let mut forecaster = stage.primed(misbehave);
        assert_eq!(forecaster.predict(&request()), Ok(last_value()), "{misbehave}");
    }
    stage.assert_well();
}

#[test]
fn promise_5_after_a_trap_the_instance_answers_with_its_failure_for_ever() {
    let stage = Stage::set();
    let mut forecaster = stage.primed("nan");
    let failure = forecaster.predict(&request()).unwrap_err();
    assert_eq!(forecaster.observe(&batch()), Err(failure.clone()));
    assert_eq!(forecaster.predict(&request()), Err(failure.clone()));
    assert_eq!(forecaster.save(), Err(failure.clone()));
    assert_eq!(forecaster.forget(&[]), Err(failure));
    stage.assert_well();
}

#[test]
fn a_refusal_in_the_policys_own_words_does_not_kill_it() {
    let stage = Stage::set();
    let mut forecaster = stage.forecaster("", "").unwrap();
    let failure = forecaster.predict(&request()).unwrap_err();
    assert_eq!(failure, PolicyFailure::NotReady("shard 4 was never observed".into()));
    forecaster.observe(&batch()).unwrap();
    assert_eq!(forecaster.predict(&request()), Ok(last_value()));
}

#[test]
fn configurations_that_do_not_fit_are_refused_by_host_or_policy() {
    let stage = Stage::set();
    let refused = |config: &str| stage.host.forecaster(&stage.forecaster, config, None).err().unwrap().to_string();
    assert_says(&refused("[]"), &["configuration does not fit", "JSON object"]);
    assert_says(&refused("{"), &["configuration does not fit", "not JSON"]);
    assert_says(
        &refused(&format!("{{\"a\": \"{}\"}}", "x".repeat(64 << 10))),
        &["configuration does not fit", "65536"],
    );
    assert_says(&refused(r#"{"misbehave": "config"}"#), &["configuration does not fit", "misbehave"]);
}

#[test]
fn a_policy_asked_for_another_role_or_unknown_says_so() {
    let stage = Stage::set();
    let failure = stage.host.placer(&stage.forecaster, "{}", None).err().unwrap();
    assert_says(&failure.to_string(), &["forecasts; asked is one that places"]);
    let failure = stage.host.forecaster(&Digest::of(b"unknown"), "{}", None).err().unwrap();
    assert_says(&failure.to_string(), &["not compiled on this node yet"]);
}

/// A question of the host's own that breaks the contract is not held against the policy.
#[test]
fn a_slip_of_the_hosts_does_not_kill_a_policy() {
    let stage = Stage::set();
    let mut forecaster = stage.forecaster("", "").unwrap();
    let slip = LoadBatch { values: vec![1.0], ..batch() };
    assert!(matches!(forecaster.observe(&slip), Err(PolicyFailure::Unavailable(_))));
    forecaster.observe(&batch()).unwrap();
    assert_eq!(forecaster.predict(&request()), Ok(last_value()));
}

// ---- what is kept ----

#[test]
fn a_compiled_policy_is_there_after_a_restart_and_a_tampered_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let digest = host_with(folder.path(), limits(), Compiler::InProcess).inspect(FORECASTER).unwrap().digest;

    let restarted = host_with(folder.path(), limits(), Compiler::InProcess);
    restarted.forecaster(&digest, "{}", None).unwrap();

    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "code") {
            let mut code = std::fs::read(&path).unwrap();
            let middle = code.len() / 2;
            code[middle] ^= 1;
            std::fs::write(&path, code).unwrap();
        }
    }
    let tampered = host_with(folder.path(), limits(), Compiler::InProcess);
    let failure = tampered.forecaster(&digest, "{}", None).err().unwrap();
    assert!(matches!(failure, PolicyFailure::Unavailable(_)), "{failure}");
    tampered.inspect(FORECASTER).unwrap();
    tampered.forecaster(&digest, "{}", None).unwrap();
}

// ---- compiling in a child ----

/// This test binary as the compiling child: `--ignored --exact compile_child IN OUT`.
#[test]
#[ignore = "run by the tests of the child compiler"]
fn compile_child() {
    let files: Vec<_> = std::env::args().rev().take(2).collect();
    if let Err(error) = isobar_policy::compile_child_main(files[1].as_ref(), files[0].as_ref()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn child() -> Compiler {
    let args = ["--quiet", "--nocapture", "--ignored", "--exact", "compile_child"].map(Into::into).to_vec();
    Compiler::Child { program: std::env::current_exe().unwrap(), args }
}

#[test]
fn a_policy_compiled_in_a_child_process_runs() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with(folder.path(), limits(), child());
    let digest = host.inspect(FORECASTER).unwrap().digest;
    let mut forecaster = host.forecaster(&digest, "{}", None).unwrap();
    forecaster.observe(&batch()).unwrap();
    assert_eq!(forecaster.predict(&request()), Ok(last_value()));
}

#[test]
fn promise_5_a_compiler_that_fails_dies_alone_and_its_words_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = |script: &str| Compiler::Child { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    for (script, parts) in [
        ("echo 'no such instruction' >&2; exit 1", &["does not compile", "no such instruction"][..]),
        ("kill -ABRT $$", &["does not compile", "of memory"]),
        ("kill -XCPU $$", &["does not compile", "CPU time"]),
        ("kill -TERM $$", &["does not compile", "signal 15"]),
    ] {
        let host = host_with(folder.path(), limits(), program(script));
        let Rejection(text) = host.inspect(FORECASTER).unwrap_err();
        assert_says(&text, parts);
    }
    let nothing = Compiler::Child { program: "/no/such/program".into(), args: vec![] };
    let Rejection(text) = host_with(folder.path(), limits(), nothing).inspect(FORECASTER).unwrap_err();
    assert_says(&text, &["could not start its compiler"]);
}
