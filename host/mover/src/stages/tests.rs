use super::*;
use crate::fake::{Chance, SOURCE, TARGET, World, migration};
use isobar_model::Incarnation;

/// Steps after which a run that should end is hung: each of ten stages may fail eight times, with some calls each.
const MAX_STEPS: usize = 20_000;

/// What goes wrong at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The controller dies before it did anything.
    CrashBefore,
    /// The controller dies when it is done, before it learns so.
    CrashAfter,
    /// The call is lost.
    Lost,
    /// The call is done, its answer is lost.
    AnswerLost,
    /// The group's leader dies: a change of voters stops half-way, another leads.
    LeaderDies,
}

/// Runs a migration to its end; `fault` says what goes wrong at which step. Gives the stages reached and the effects performed.
fn run(world: &mut World, mut fault: impl FnMut(usize, &World) -> Fault) -> (Vec<Stage>, Vec<Effect>) {
    let (mut stages, mut effects) = (vec![world.record.stage], Vec::new());
    let mut walk = Walk::new(world.record.clone());
    let (mut outcome, mut now) = (Outcome::PickedUp, InstantMs(0));
    for step in 0..MAX_STEPS {
        let next = walk.next(outcome, now);
        let fault = fault(step, world);
        if fault == Fault::CrashBefore {
            walk = Walk::new(world.record.clone());
            outcome = Outcome::PickedUp;
            continue;
        }
        outcome = match next {
            Step::Finished => return (stages, effects),
            Step::Fenced => panic!("nobody fences here"),
            Step::Wait(Pause::Until(instant)) => {
                assert!(instant > now, "a wait for what is past");
                now = instant;
                Outcome::Waited
            }
            Step::Wait(Pause::Poll | Pause::BackOff(_)) => {
                now = now.plus_ms(100);
                Outcome::Waited
            }
            Step::Record(change) => {
                world.advance(&change).unwrap();
                if change.from != change.to {
                    stages.push(change.to);
                }
                Outcome::Recorded
            }
            Step::Perform(effect) => {
                let lost = Outcome::Failed(ShardOpError::Retry("lost".into()));
                let outcome = match (fault, &effect) {
                    (Fault::Lost, _) => lost,
                    (Fault::LeaderDies, Effect::ChangeVoters(voters)) => {
                        world.change_half(voters);
                        world.leader = world.voters.last().copied();
                        lost
                    }
                    (Fault::LeaderDies, _) => {
                        world.leader = world.voters.iter().find(|v| Some(**v) != world.leader).copied();
                        lost
                    }
                    (Fault::None | Fault::CrashAfter, _) => world.perform(&effect),
                    (Fault::AnswerLost, _) => {
                        world.perform(&effect);
                        lost
                    }
                    (Fault::CrashBefore, _) => unreachable!("handled above"),
                };
                effects.push(effect);
                outcome
            }
        };
        if fault == Fault::CrashAfter {
            walk = Walk::new(world.record.clone());
            outcome = Outcome::PickedUp;
        }
    }
    panic!("no end after {MAX_STEPS} steps: {world:?}");
}

fn quiet(_: usize, _: &World) -> Fault {
    Fault::None
}

#[test]
fn a_replica_goes_through_every_stage_in_order() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    let (stages, effects) = run(&mut world, quiet);
    use Stage::{CatchUp, Copy, Done, Learner, Planned, Retire, Switch, Verify};
    assert_eq!(stages, [Planned, Learner, Copy, CatchUp, Verify, Switch, Retire, Done]);
    world.check_end();
    let voters = |nodes: &[u64]| Effect::ChangeVoters(nodes.iter().copied().map(NodeId).collect());
    let changes: Vec<_> = effects.into_iter().filter(|e| !matches!(e, Effect::Status | Effect::CopyProgress)).collect();
    assert_eq!(
        changes,
        [
            Effect::Prepare,
            Effect::AddLearner,
            Effect::Verify,
            voters(&[1, 2, 3, 4]),
            Effect::TransferLeader(TARGET),
            voters(&[2, 3, 4]),
            Effect::DeleteReplica(SOURCE, Incarnation(1)),
        ]
    );
}

#[test]
fn a_follower_moves_without_a_change_of_leader() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    world.leader = Some(NodeId(2));
    let (_, effects) = run(&mut world, quiet);
    assert!(!effects.iter().any(|e| matches!(e, Effect::TransferLeader(_))));
    assert_eq!(world.leader, Some(NodeId(2)));
}

#[test]
fn leadership_moves_alone() {
    let mut world = World::new(migration(1, MigrationKind::Leader));
    world.record.not_before = InstantMs(5_000);
    let (stages, effects) = run(&mut world, quiet);
    assert_eq!(stages, [Stage::Planned, Stage::Switch, Stage::Done]);
    assert_eq!(effects, [Effect::Status, Effect::TransferLeader(NodeId(2)), Effect::Status]);
    world.check_end();
}

#[test]
fn a_move_takes_its_declared_time_and_verifies_after_it() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    world.record.not_before = InstantMs(1_000_000);
    let mut walk = Walk::new(world.record.clone());
    let (mut outcome, mut now) = (Outcome::PickedUp, InstantMs(0));
    loop {
        outcome = match walk.next(outcome, now) {
            Step::Perform(effect) => {
                assert!(now >= world.record.not_before || effect != Effect::Verify, "verified before the wait");
                world.perform(&effect)
            }
            Step::Record(change) => {
                assert!(now >= world.record.not_before || change.to != Stage::Switch, "switched too early");
                world.advance(&change).unwrap();
                Outcome::Recorded
            }
            Step::Wait(Pause::Until(instant)) => {
                now = instant;
                Outcome::Waited
            }
            Step::Wait(Pause::Poll | Pause::BackOff(_)) => Outcome::Waited,
            Step::Finished => break,
            Step::Fenced => panic!("nobody fences here"),
        };
    }
    assert_eq!(world.record.stage, Stage::Done);
}

#[test]
fn unequal_digests_abort_at_once() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    world.corrupt = true;
    let (stages, effects) = run(&mut world, quiet);
    assert_eq!(stages[4..], [Stage::Verify, Stage::Aborting, Stage::Aborted]);
    assert_eq!(effects.iter().filter(|e| **e == Effect::Verify).count(), 1);
    assert!(world.record.error.as_ref().unwrap().contains("digests differ"), "{:?}", world.record.error);
    world.check_end();
    assert!(!world.data.contains_key(&(TARGET, Incarnation(9))), "the copy is gone");
}

/// Promise 8: no stage is tried without end before the switch.
#[test]
fn a_copy_that_stands_still_is_given_up() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    world.stuck = true;
    let (stages, effects) = run(&mut world, quiet);
    assert_eq!(stages[2..], [Stage::Copy, Stage::Aborting, Stage::Aborted]);
    let polls = effects.iter().filter(|e| **e == Effect::CopyProgress).count();
    assert!(polls <= ((MAX_IDLE_POLLS + 10) * MAX_FAILURES) as usize, "{polls}");
    world.check_end();
}

#[test]
fn a_stage_forgives_some_failures_and_then_aborts() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    let (_, effects) =
        run(&mut world, |_, world| if world.record.stage == Stage::Learner { Fault::Lost } else { Fault::None });
    assert_eq!(world.record.stage, Stage::Aborted);
    assert_eq!(effects.iter().filter(|e| **e == Effect::Prepare).count(), MAX_FAILURES as usize);
    assert!(world.record.error.as_ref().unwrap().contains("given up after 8 failures"));
}

#[test]
fn a_source_that_is_down_is_retired_when_it_is_back() {
    let mut world = World::new(migration(1, MigrationKind::Replica));
    let mut lost = 0;
    run(&mut world, |_, world| {
        let is_down = world.record.stage == Stage::Retire && lost < 1_000;
        lost += u32::from(is_down);
        if is_down { Fault::Lost } else { Fault::None }
    });
    assert_eq!(world.record.stage, Stage::Done);
    world.check_end();
}

/// From whatever a predecessor left behind, the next change of the group is the right one.
#[test]
fn the_groups_standing_decides_what_comes_next() {
    let change = |nodes: &[u64]| Step::Perform(Effect::ChangeVoters(nodes.iter().copied().map(NodeId).collect()));
    let lead = |node| Step::Perform(Effect::TransferLeader(node));
    let (joint, whole) = (true, false);
    let switch: [(&[u64], u64, bool, Step); 7] = [
        (&[1, 2, 3], 1, whole, change(&[1, 2, 3, 4])),
        (&[1, 2, 3], 1, joint, change(&[1, 2, 3, 4])),
        (&[1, 2, 3, 4], 1, joint, change(&[1, 2, 3, 4])),
        (&[1, 2, 3, 4], 1, whole, lead(TARGET)),
        (&[1, 2, 3, 4], 4, whole, change(&[2, 3, 4])),
        (&[1, 2, 3, 4], 2, whole, change(&[2, 3, 4])),
        (&[2, 3, 4], 2, joint, change(&[2, 3, 4])),
    ];
    let undo: [(&[u64], u64, bool, Step); 6] = [
        (&[1, 2, 3], 1, whole, Step::Perform(Effect::RemoveLearner)),
        (&[1, 2, 3], 1, joint, change(&[1, 2, 3])),
        (&[1, 2, 3, 4], 1, joint, change(&[1, 2, 3])),
        (&[1, 2, 3, 4], 4, whole, lead(SOURCE)),
        (&[1, 2, 3, 4], 2, whole, change(&[1, 2, 3])),
        (&[2, 3, 4], 2, joint, change(&[2, 3, 4])),
    ];
    let all =
        switch.into_iter().map(|case| (Stage::Switch, case)).chain(undo.into_iter().map(|c| (Stage::Aborting, c)));
    for (stage, (voters, leader, joint, expected)) in all {
        let mut record = migration(1, MigrationKind::Replica);
        record.stage = stage;
        let status = ShardStatus {
            leader: Some(NodeId(leader)),
            voters: voters.iter().copied().map(NodeId).collect(),
            joint,
            ..ShardStatus::default()
        };
        let mut walk = Walk::new(record);
        assert_eq!(walk.next(Outcome::PickedUp, InstantMs(0)), Step::Perform(Effect::Status));
        let step = walk.next(Outcome::Status(status), InstantMs(0));
        assert_eq!(step, expected, "{stage:?} with voters {voters:?}, led by {leader}, joint: {joint}");
    }
}

#[test]
fn a_leader_that_tells_of_a_change_late_is_no_failure() {
    for kind in [MigrationKind::Replica, MigrationKind::Leader] {
        let mut world = World::new(migration(1, kind));
        world.shows_late = true;
        let (_, effects) = run(&mut world, quiet);
        assert_eq!((world.record.stage, &world.record.error), (Stage::Done, &None));
        let changes = effects.iter().filter(|e| matches!(e, Effect::ChangeVoters(_) | Effect::TransferLeader(_)));
        assert!(changes.count() <= 3, "none is done twice: {effects:?}");
    }
}

/// From a refusal that is no matter of who leads, nothing is to be had by trying again.
#[test]
fn a_target_that_refuses_is_not_asked_again() {
    let mut record = migration(1, MigrationKind::Replica);
    record.stage = Stage::Learner;
    let mut walk = Walk::new(record);
    assert_eq!(walk.next(Outcome::PickedUp, InstantMs(0)), Step::Perform(Effect::Prepare));
    let refused = Outcome::Failed(ShardOpError::Refused("the disk is full".into()));
    let step = walk.next(refused, InstantMs(0));
    assert!(
        matches!(&step, Step::Record(c) if c.to == Stage::Aborting && c.error == Some("the disk is full".into())),
        "{step:?}"
    );
}

#[test]
fn a_fenced_controller_stops() {
    let mut walk = Walk::new(migration(1, MigrationKind::Replica));
    let fenced = Outcome::Failed(ShardOpError::Fenced { seen: 8, given: 7 });
    assert_eq!(walk.next(fenced, InstantMs(0)), Step::Fenced);
}

#[test]
fn a_cancel_is_undone_from_every_stage_it_is_allowed_in() {
    for stage in [Stage::Learner, Stage::Copy, Stage::CatchUp, Stage::Verify] {
        let mut cancelled = false;
        let mut world = World::new(migration(1, MigrationKind::Replica));
        let mut walk = Walk::new(world.record.clone());
        let mut outcome = Outcome::PickedUp;
        for _ in 0..MAX_STEPS {
            // Whoever drives finds the record changed, and picks it up.
            if world.record.stage == stage && !cancelled {
                cancelled = true;
                world.record.stage = Stage::Aborting;
            }
            outcome = match walk.next(outcome, InstantMs(0)) {
                Step::Perform(effect) => world.perform(&effect),
                Step::Wait(_) => Outcome::Waited,
                Step::Record(change) => match world.advance(&change) {
                    Ok(()) => Outcome::Recorded,
                    Err(_) => {
                        walk = Walk::new(world.record.clone());
                        Outcome::PickedUp
                    }
                },
                Step::Finished => break,
                Step::Fenced => panic!("nobody fences here"),
            };
        }
        assert_eq!(world.record.stage, Stage::Aborted, "cancelled in {stage:?}");
        world.check_end();
    }
}

/// Promises 1 and 2, in part: whoever resumes finds the way, from between any two steps.
#[test]
fn a_controller_that_dies_between_any_two_steps_is_resumed() {
    for kind in [MigrationKind::Replica, MigrationKind::Leader] {
        for corrupt in [false, true] {
            for crash in [Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Lost, Fault::LeaderDies] {
                for at in 0.. {
                    let mut world = World::new(migration(1, kind));
                    world.corrupt = corrupt;
                    let mut reached = false;
                    run(&mut world, |step, _| {
                        reached |= step == at;
                        if step == at { crash } else { Fault::None }
                    });
                    world.check_end();
                    let is_bad = corrupt && kind == MigrationKind::Replica;
                    let end = if is_bad { Stage::Aborted } else { Stage::Done };
                    assert_eq!(world.record.stage, end, "{crash:?} at step {at}");
                    if !reached {
                        break;
                    }
                }
            }
        }
    }
}

/// Promises 1 and 2, in part: any mixture of faults ends moved or not moved, never in between, with the factor kept throughout and no
/// switch without equal digests (the fake panics otherwise). Each seed prints itself on failure.
#[test]
fn random_faults_end_moved_or_not_moved() {
    let (mut done, mut aborted) = (0, 0);
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let kind = if seed % 5 == 0 { MigrationKind::Leader } else { MigrationKind::Replica };
        let mut world = World::new(migration(1, kind));
        world.corrupt = chance.below(8) == 0;
        world.leader = Some(NodeId(1 + chance.below(3)));
        let (percent, until) = (5 + chance.below(60), 50 + chance.below(400));
        let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::Lost, Fault::AnswerLost, Fault::LeaderDies];
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&mut world, |step, _| {
                // Then it heals: a run must end.
                let is_hit = (step as u64) < until && chance.below(100) < percent;
                if is_hit { faults[chance.below(faults.len() as u64) as usize] } else { Fault::None }
            });
            world.check_end();
        }));
        assert!(result.is_ok(), "seed {seed}");
        if world.record.stage == Stage::Done { done += 1 } else { aborted += 1 }
    }
    assert!(done > 500 && aborted > 200, "both ends are seen: {done} done, {aborted} aborted");
}
