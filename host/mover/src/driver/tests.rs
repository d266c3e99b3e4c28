use super::*;
use crate::fake::{World, migration};
use crate::step::Change;
use async_trait::async_trait;
use isobar_model::{Incarnation, InstantMs, MigrationKind, NodeId, ShardId};
use isobar_ports::{CopyProgress, ReplicaDigest, ShardStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

/// Shards by number, and the highest control term that their nodes saw.
#[derive(Default)]
struct Fake {
    worlds: Mutex<BTreeMap<ShardId, World>>,
    term: Mutex<u64>,
}

impl Fake {
    fn with(kinds: &[MigrationKind]) -> Arc<Self> {
        let worlds = (1..).zip(kinds).map(|(id, &kind)| (ShardId(id), World::new(migration(id, kind)))).collect();
        Arc::new(Self { worlds: Mutex::new(worlds), term: Mutex::default() })
    }

    fn see<T>(&self, shard: u64, look: impl FnOnce(&mut World) -> T) -> T {
        look(self.worlds.lock().unwrap().get_mut(&ShardId(shard)).unwrap())
    }

    fn stage(&self, shard: u64) -> Stage {
        self.see(shard, |world| world.record.stage)
    }

    fn perform(&self, shard: ShardId, effect: &Effect) -> Result<Outcome, ShardOpError> {
        let outcome = self.see(shard.0, |world| world.perform(effect));
        if let Outcome::Failed(error) = outcome { Err(error) } else { Ok(outcome) }
    }

    fn change(&self, fence: Fence, shard: ShardId, effect: &Effect) -> Result<Outcome, ShardOpError> {
        assert_eq!(fence.operation, OperationId(shard.0));
        let mut seen = self.term.lock().unwrap();
        if fence.control_term < *seen {
            return Err(ShardOpError::Fenced { seen: *seen, given: fence.control_term });
        }
        *seen = fence.control_term;
        self.perform(shard, effect)
    }

    /// Waits until `is_so`, for at most 20 s: far longer than a loaded machine needs.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl ShardOps for Fake {
    async fn status(&self, shard: ShardId) -> Result<ShardStatus, ShardOpError> {
        let Outcome::Status(status) = self.perform(shard, &Effect::Status)? else { panic!("another answer") };
        Ok(status)
    }
    async fn prepare_replica(&self, fence: Fence, shard: ShardId, _: Replica) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::Prepare).map(drop)
    }
    async fn add_learner(&self, fence: Fence, shard: ShardId, _: Replica, _: u64) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::AddLearner).map(drop)
    }
    async fn copy_progress(&self, shard: ShardId, _: NodeId) -> Result<CopyProgress, ShardOpError> {
        let Outcome::Progress(progress) = self.perform(shard, &Effect::CopyProgress)? else { panic!("another answer") };
        Ok(progress)
    }
    async fn verify(&self, fence: Fence, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, ShardOpError> {
        let Outcome::Digests(digests) = self.change(fence, shard, &Effect::Verify)? else { panic!("another answer") };
        Ok(digests)
    }
    async fn change_voters(&self, fence: Fence, shard: ShardId, voters: BTreeSet<NodeId>) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::ChangeVoters(voters)).map(drop)
    }
    async fn transfer_leader(&self, fence: Fence, shard: ShardId, to: NodeId) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::TransferLeader(to)).map(drop)
    }
    async fn remove_learner(&self, fence: Fence, shard: ShardId, _: NodeId) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::RemoveLearner).map(drop)
    }
    async fn delete_replica(
        &self,
        fence: Fence,
        shard: ShardId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<(), ShardOpError> {
        self.change(fence, shard, &Effect::DeleteReplica(node, incarnation)).map(drop)
    }
}

#[async_trait]
impl MigrationRecords for Fake {
    async fn live(&self) -> Vec<Migration> {
        let worlds = self.worlds.lock().unwrap();
        worlds.values().map(|world| world.record.clone()).filter(|record| !record.stage.is_final()).collect()
    }
    async fn advance(&self, change: &Change) -> Result<(), RecordError> {
        self.see(change.id.0, |world| world.advance(change))
    }
}

/// A control clock that runs a thousand times as fast as the wall's.
struct FastClock(Instant);

impl Clock for FastClock {
    fn now(&self) -> InstantMs {
        InstantMs(self.0.elapsed().as_micros() as u64)
    }
    fn wall_ms(&self, control_ms: u64) -> u64 {
        control_ms / 1_000
    }
}

fn mover(fake: &Arc<Fake>) -> Arc<Mover> {
    let ms = Duration::from_millis;
    let pace = Pace { records: ms(2), poll: ms(1), back_off: ms(1), max_back_off: ms(5) };
    let clock = Arc::new(FastClock(Instant::now()));
    Arc::new(Mover::new(Arc::clone(fake) as _, Arc::clone(fake) as _, clock, pace))
}

#[tokio::test]
async fn live_migrations_are_carried_out_side_by_side() {
    let kinds = [MigrationKind::Replica, MigrationKind::Leader, MigrationKind::Replica];
    let fake = Fake::with(&kinds);
    fake.see(1, |world| world.stuck = true);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(mover(&fake).run(1, stopped));
    fake.until("the others are done", |f| f.stage(2) == Stage::Done && f.stage(3) == Stage::Done).await;
    assert!(!fake.stage(1).is_final(), "the one that is stuck holds up nobody");
    fake.see(1, |world| world.stuck = false);
    fake.until("it is done too", |f| f.stage(1) == Stage::Done).await;
    stop.send(true).unwrap();
    running.await.unwrap();
    for shard in 1..=3 {
        fake.see(shard, |world| world.check_end());
    }
}

#[tokio::test]
async fn the_next_controller_resumes_and_the_last_one_is_fenced() {
    let fake = Fake::with(&[MigrationKind::Replica]);
    fake.see(1, |world| world.stuck = true);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(mover(&fake).run(1, stopped));
    fake.until("it copies", |f| f.see(1, |w| w.record.stage == Stage::Copy && w.record.copied_bytes > 30)).await;
    drop(stop);
    running.await.unwrap();
    assert_eq!(fake.stage(1), Stage::Copy);

    *fake.term.lock().unwrap() = 2;
    let (stop, stopped) = watch::channel(false);
    let late = tokio::spawn(mover(&fake).run(1, stopped));
    fake.see(1, |world| world.stuck = false);
    let (stop_next, stopped) = watch::channel(false);
    let next = tokio::spawn(mover(&fake).run(2, stopped));
    fake.until("the next one is done", |f| f.stage(1) == Stage::Done).await;
    fake.see(1, |world| world.check_end());
    drop((stop, stop_next));
    late.await.unwrap();
    next.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_copy_is_undone_while_it_waits() {
    let fake = Fake::with(&[MigrationKind::Replica]);
    // A declared time that never comes: it would wait in `Verify`.
    fake.see(1, |world| world.record.not_before = InstantMs(u64::MAX));
    let (_stop, stopped) = watch::channel(false);
    let running = mover(&fake);
    tokio::spawn(Arc::clone(&running).run(1, stopped));
    fake.until("it waits", |f| f.stage(1) == Stage::Verify).await;
    fake.see(1, |world| world.record.stage = Stage::Aborting);
    running.wake();
    fake.until("it is undone", |f| f.stage(1) == Stage::Aborted).await;
    fake.see(1, |world| world.check_end());
}
