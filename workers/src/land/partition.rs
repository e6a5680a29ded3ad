//! The lander of one assigned partition: claims, publishes and hints, range after range.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::buffer::{Carry, Scope};
use super::consumer::{Command, LandContext, Start};
use super::encode::EncodeError;
use super::publish::publish;
use super::rebuild::{self, Rebuilt};
use super::stage::{Staged, Stager};
use super::status::{Board, Reason};
use crate::failpoint;
use crate::kafka::reader::Retained;
use crate::ledger::{
    Action, Amendment, AmendmentKind, Chain, Claim, ClaimKind, ClaimPut, Committed, Event, FileRef,
    Genesis, LastRecord, Layout, Ledger, Link, PartitionLedger, Period, Tip, decide,
};
use crate::store::Put;
use stockpipe_crds::pipeline::Kafka;

const KAFKA_CALL: Duration = Duration::from_secs(5);
const KAFKA_PAUSE: Duration = Duration::from_millis(500);
/// A log that ends before the chain is looked at again this often before it counts as rewritten: a new leader may
/// not know its end at once.
const END_CHECKS: u32 = 3;
/// How often it is looked whether a key that something else took is free again.
const TAKEN_PAUSE: Duration = Duration::from_secs(5);
/// How long a partition that is given back waits for Glue.
const REGISTRATION_GRACE: Duration = Duration::from_secs(1);

/// A range being staged; `None` where its assignment ended first.
pub type Staging = JoinHandle<Option<Result<Staged, EncodeError>>>;

/// What the polling thread hands over.
pub struct Work {
    /// Which start of the partition it follows; others are outdated.
    pub generation: u64,
    /// The range.
    pub what: What,
}

/// See [`Work`].
pub enum What {
    /// A range that is being staged.
    Range(Staging),
    /// Offsets that Kafka no longer has.
    Lost {
        /// First.
        start: i64,
        /// Last.
        end: i64,
    },
}

/// Why a partition stands still.
enum Ended {
    /// Until somebody repairs what the sentence says.
    Stopped(Reason, String),
    /// A newer lander owns it.
    GaveUp,
}

/// What one assignment of one partition needs.
pub struct PartitionLander {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Number of the assignment.
    pub assignment: u64,
    /// The whole ledger.
    pub ledger: Ledger,
    /// The partition's chain.
    pub chain: PartitionLedger,
    /// How its ranges are staged.
    pub stager: Stager,
    /// What is the same for every range.
    pub scope: Arc<Scope>,
    /// For watermarks, committed offsets and commits.
    pub consumer: Arc<BaseConsumer<LandContext>>,
    /// For reading a range again.
    pub kafka: Kafka,
    /// Consumer group.
    pub group_id: String,
    /// Status.
    pub board: Board,
    /// To the polling thread.
    pub commands: mpsc::Sender<Command>,
}

/// Where the chain stands, as this lander knows it.
struct Position {
    chain: Chain,
    tip: Option<Arc<Claim>>,
    summary: Option<Tip>,
    generation: u64,
}

impl PartitionLander {
    /// Resolves the chain, lets the polling thread start, and lands what it sends until the channel is closed.
    pub async fn run(self, mut work: UnboundedReceiver<Work>) {
        let ended = match self.begin().await {
            Ok(mut position) => self.serve(&mut position, &mut work).await,
            Err(ended) => Err(ended),
        };
        match ended {
            Ok(()) => return,
            Err(Ended::Stopped(kind, message)) => {
                self.board.raise(kind, Some(self.partition), message);
                self.command(Command::Stop {
                    partition: self.partition,
                    assignment: self.assignment,
                });
            }
            Err(Ended::GaveUp) => {
                tracing::warn!(
                    partition = self.partition,
                    "a newer lander owns the partition; giving it up and joining the group again"
                );
                self.command(Command::Rejoin);
            }
        }
        while let Some(work) = work.recv().await {
            self.discard(work);
        }
    }

    /// The chain with its tip published, and reading started after it.
    async fn begin(&self) -> Result<Position, Ended> {
        let store = self.ledger.store();
        let committed = self.committed().await;
        tracing::debug!(
            partition = self.partition,
            ?committed,
            "asked Kafka for the hint"
        );
        let resolved = loop {
            if let Some(resolved) = store.persist(|| self.chain.resolve(committed)).await {
                break resolved;
            }
            let genesis = Genesis {
                base: self.retained().await.low,
                watermark: self.joining_watermark().await,
            };
            store.persist(|| self.chain.begin(genesis.clone())).await;
        };
        let link = resolved.tip.as_deref().map(Link::from);
        let mut summary = resolved.hint;
        if let (None, Some(tip)) = (&summary, &resolved.tip) {
            // Without tip.json nobody knows which periods are registered: ask for all.
            let mut all = Tip::after(None, tip, Timestamp::now()).0;
            all.unregistered.extend(self.periods(&tip.layout).await);
            summary = Some(all);
        }
        for period in summary.iter().flat_map(|s| &s.unregistered) {
            self.stager.registrar.want(*period);
        }
        let mut position = Position {
            chain: Chain::assigned(resolved.genesis.base, link),
            tip: resolved.tip,
            summary,
            generation: 0,
        };
        self.board.update(self.partition, |p| {
            p.epoch = position.chain.epoch();
            p.position = position.chain.next();
        });
        tracing::debug!(
            partition = self.partition,
            next = position.chain.next(),
            epoch = position.chain.epoch(),
            "the chain is resolved"
        );
        self.settle(&mut position).await?;
        let retained = self.checked_end(&position).await?;
        if retained.low > position.chain.next() {
            self.lose(&mut position, retained.low - 1).await?;
        }
        self.start(&mut position);
        tracing::debug!(partition = self.partition, ?retained, "reading starts");
        Ok(position)
    }

    async fn serve(
        &self,
        position: &mut Position,
        work: &mut UnboundedReceiver<Work>,
    ) -> Result<(), Ended> {
        let mut changes = self.stager.registrar.changes();
        loop {
            let waits = position
                .summary
                .as_ref()
                .is_some_and(|s| !s.unregistered.is_empty());
            tokio::select! {
                next = work.recv() => match next {
                    Some(next) => self.take(position, next).await?,
                    None => break,
                },
                Ok(()) = changes.changed(), if waits => self.register(position).await,
            }
        }
        let registered = async {
            while position
                .summary
                .as_ref()
                .is_some_and(|s| !s.unregistered.is_empty())
                && changes.changed().await.is_ok()
            {
                self.register(position).await;
            }
        };
        // Whoever comes next asks Glue for what is still missing.
        let _ = tokio::time::timeout(REGISTRATION_GRACE, registered).await;
        Ok(())
    }

    async fn take(&self, position: &mut Position, work: Work) -> Result<(), Ended> {
        if work.generation != position.generation {
            self.discard(work);
            return Ok(());
        }
        match work.what {
            What::Lost { end, .. } => self.lose(position, end).await,
            What::Range(staging) => {
                let staged = match staging.await {
                    Ok(Some(staged)) => staged,
                    // The assignment is over.
                    Ok(None) => return Ok(()),
                    Err(e) => Err(EncodeError::Io(std::io::Error::other(e))),
                };
                let staged = staged.map_err(|e| {
                    Ended::Stopped(
                        Reason::EncodingFailed,
                        format!(
                            "partition {}: {e}; nothing is lost, the records are in Kafka",
                            self.partition
                        ),
                    )
                })?;
                self.land(position, staged).await
            }
        }
    }

    /// Drops a range that will not be claimed, and its uploads.
    fn discard(&self, work: Work) {
        let What::Range(staging) = work.what else {
            return;
        };
        let stager = self.stager.clone();
        tokio::spawn(async move {
            if let Ok(Some(Ok(staged))) = staging.await {
                stager.abort(staged.claim.objects()).await;
            }
        });
    }

    /// Claims and publishes what is staged, or yields to whoever was first.
    async fn land(&self, position: &mut Position, staged: Staged) -> Result<(), Ended> {
        let Staged {
            mut claim,
            ingested_ns,
        } = staged;
        let staged = Event::Staged {
            start: claim.start,
            end: claim.end,
        };
        let mut event = staged;
        let mut found: Option<Arc<Claim>> = None;
        loop {
            match decide(&mut position.chain, event) {
                Action::Claim { epoch } => {
                    claim.epoch = epoch;
                    claim.claimed_at = Timestamp::now();
                    failpoint::hit("land.before-claim");
                    let store = self.ledger.store();
                    event = match store.persist(|| self.chain.put_claim(&claim)).await {
                        ClaimPut::Created => {
                            failpoint::hit("land.after-claim");
                            found = Some(Arc::new(claim.clone()));
                            Event::Claimed(Link::from(&claim))
                        }
                        ClaimPut::Found(other) => {
                            let link = Link::from(&*other);
                            found = Some(Arc::from(other));
                            Event::Taken {
                                ours: claim.claim_id,
                                found: link,
                            }
                        }
                    };
                }
                Action::Publish(_) => {
                    position.tip = found.take().or(position.tip.take());
                    self.publish_tip(position).await?;
                    event = Event::Published;
                }
                Action::Hint(link) => {
                    self.hint(position).await;
                    if link.claim_id == claim.claim_id {
                        self.board.published(self.partition, &claim, ingested_ns);
                        return Ok(());
                    }
                    event = staged;
                }
                Action::Yield(link) => {
                    tracing::info!(
                        partition = self.partition,
                        start = link.start,
                        end = link.end,
                        "another lander claimed the range first; going on after it"
                    );
                    self.stager.abort(claim.objects()).await;
                    position.tip = found.take();
                    self.settle(position).await?;
                    self.start(position);
                    return Ok(());
                }
                Action::Discard { .. } | Action::Consume { .. } => {
                    self.stager.abort(claim.objects()).await;
                    self.start(position);
                    return Ok(());
                }
                Action::GiveUp => {
                    self.stager.abort(claim.objects()).await;
                    return Err(Ended::GaveUp);
                }
            }
        }
    }

    /// Publishes the tip if that is not known to be done.
    async fn settle(&self, position: &mut Position) -> Result<(), Ended> {
        let mut event = Event::Idle;
        loop {
            match decide(&mut position.chain, event) {
                Action::Publish(_) => {
                    self.publish_tip(position).await?;
                    event = Event::Published;
                }
                Action::Hint(_) => self.hint(position).await,
                _ => return Ok(()),
            }
            if event == Event::Published && position.chain.is_published() {
                return Ok(());
            }
        }
    }

    async fn publish_tip(&self, position: &Position) -> Result<(), Ended> {
        let Some(claim) = position.tip.clone() else {
            return Ok(());
        };
        let store = self.ledger.store();
        let mut files: Vec<FileRef> = claim.objects().cloned().collect();
        let mut amended = 0;
        loop {
            let outcome = publish(store, claim.claim_id, &files).await;
            if outcome.foreign.is_empty() {
                self.board.clear(Reason::FileTaken, self.partition);
            }
            if outcome.is_done() {
                return Ok(());
            }
            let amendments = store.persist(|| self.chain.amendments(claim.start)).await;
            if amendments.len() > amended {
                amended = amendments.len();
                for amendment in &amendments {
                    if amendment.kind == AmendmentKind::Lost {
                        self.lost_files(&claim, &amendment.files);
                        return Ok(());
                    }
                    for file in &mut files {
                        if let Some(newer) = amendment.files.iter().find(|f| f.key == file.key) {
                            file.clone_from(newer);
                        }
                    }
                }
                continue;
            }
            if let Some(file) = outcome.foreign.first() {
                self.board.raise(
                    Reason::FileTaken,
                    Some(self.partition),
                    format!(
                        "partition {}: s3://{}/{} is not the file of claim {} ({}); something else wrote there: \
                         move it away, and the claim's own file is published",
                        self.partition,
                        store.bucket(),
                        file.key,
                        claim.claim_id,
                        self.chain.claim_key(claim.start),
                    ),
                );
                tokio::time::sleep(TAKEN_PAUSE).await;
                continue;
            }
            self.amend(&claim, &outcome.gone, amended + 1).await?;
        }
    }

    /// Records how the `gone` files of `claim` come back from Kafka, or that they do not.
    async fn amend(&self, claim: &Claim, gone: &[FileRef], number: usize) -> Result<(), Ended> {
        tracing::warn!(
            partition = self.partition,
            start = claim.start,
            end = claim.end,
            "the uploads of a claim are gone from the store; writing its files again from Kafka"
        );
        let (kind, files) = match rebuild::rebuild(self, claim, gone).await {
            Rebuilt::Files(files) => (AmendmentKind::Rebuilt, files),
            Rebuilt::NotRetained => (AmendmentKind::Lost, gone.to_vec()),
            Rebuilt::Differs(what) => {
                return Err(self.diverged(&format!(
                    "the files of claim {} cannot be written again: {what}",
                    claim.claim_id
                )));
            }
        };
        let amendment = Amendment {
            claim_id: claim.claim_id,
            kind,
            owner: self.stager.owner.to_string(),
            at: Timestamp::now(),
            files,
        };
        let store = self.ledger.store();
        let put = store
            .persist(|| self.chain.amend(claim.start, number, &amendment))
            .await;
        if put == Put::Exists && kind == AmendmentKind::Rebuilt {
            // Another's amendment counts, unless the answer to our own PUT was lost.
            let all = store.persist(|| self.chain.amendments(claim.start)).await;
            if all.get(number - 1) != Some(&amendment) {
                self.stager.abort(amendment.files.iter()).await;
            }
        }
        Ok(())
    }

    fn lost_files(&self, claim: &Claim, files: &[FileRef]) {
        let rows: u64 = files.iter().map(|f| f.rows).sum();
        self.board.raise(
            Reason::RecordsLost,
            Some(self.partition),
            format!(
                "partition {}: {rows} rows of the offsets {} to {} are lost: the store dropped their uploads before \
                 they were published, and Kafka no longer has them",
                self.partition, claim.start, claim.end,
            ),
        );
    }

    /// Claims the offsets from the chain's end to `end` as lost.
    async fn lose(&self, position: &mut Position, end: i64) -> Result<(), Ended> {
        let start = position.chain.next();
        if end < start {
            self.start(position);
            return Ok(());
        }
        self.board.raise(
            Reason::RecordsLost,
            Some(self.partition),
            format!(
                "partition {}: the {} offsets {start} to {end} are lost: Kafka dropped them (retention) before they \
                 were landed; give topic `{}` a longer retention.ms or more landers",
                self.partition,
                end - start + 1,
                self.topic,
            ),
        );
        let tip = position.tip.as_deref();
        let claim = Claim {
            claim_id: Uuid::new_v4(),
            kind: ClaimKind::Lost,
            epoch: 0,
            owner: self.stager.owner.to_string(),
            claimed_at: Timestamp::now(),
            start,
            end,
            records: 0,
            rows: 0,
            quarantined: 0,
            heartbeats: 0,
            skipped_offsets: 0,
            late: 0,
            last_record: None,
            producers: tip.map(|t| t.producers.clone()).unwrap_or_default(),
            watermark: tip.and_then(|t| t.watermark),
            closed_through: tip.and_then(|t| t.closed_through),
            layout: Layout::clone(&self.stager.layout),
            files: Vec::new(),
            quarantine: Vec::new(),
            trace: None,
        };
        let staged = Staged {
            claim,
            ingested_ns: None,
        };
        self.land(position, staged).await
    }

    /// Lets the polling thread read on after the tip; whatever it sent before is outdated.
    fn start(&self, position: &mut Position) {
        position.generation += 1;
        let tip = position.tip.as_deref();
        let start = Start {
            next: position.chain.next(),
            check: tip.and_then(|t| t.last_record),
            carry: Carry {
                producers: tip.map(|t| t.producers.clone()).unwrap_or_default(),
                closed_through: tip.and_then(|t| t.closed_through),
            },
        };
        self.command(Command::Start {
            partition: self.partition,
            assignment: self.assignment,
            generation: position.generation,
            start,
        });
    }

    /// Commits the tip's end and writes `tip.json`: hints, so that the next lander starts near the tip.
    async fn hint(&self, position: &mut Position) {
        let Some(claim) = position.tip.clone() else {
            return;
        };
        failpoint::hit("land.before-commit");
        self.commit(&claim);
        failpoint::hit("land.after-commit");
        let told = position
            .summary
            .as_ref()
            .is_some_and(|s| s.claim_id == claim.claim_id);
        let store = self.ledger.store();
        if !told {
            let (tip, ended) = Tip::after(position.summary.as_ref(), &claim, Timestamp::now());
            if let Some(day) = ended {
                store.persist(|| self.chain.put_summary(&day)).await;
            }
            position.summary = Some(tip);
        }
        failpoint::hit("land.before-tip");
        self.put_tip(position).await;
        failpoint::hit("land.after-tip");
    }

    /// Takes note of periods that Glue has taken since.
    async fn register(&self, position: &mut Position) {
        let registrar = &self.stager.registrar;
        let news = position
            .summary
            .as_ref()
            .is_some_and(|s| s.unregistered.iter().any(|p| registrar.is_registered(p)));
        if news {
            self.put_tip(position).await;
        }
    }

    async fn put_tip(&self, position: &mut Position) {
        let Some(tip) = &mut position.summary else {
            return;
        };
        tip.register(|period| self.stager.registrar.is_registered(period));
        tip.at = Timestamp::now();
        let tip: &Tip = tip;
        self.ledger
            .store()
            .persist(|| self.chain.put_tip(tip))
            .await;
        self.board.update(self.partition, |p| {
            p.watermark = tip
                .visible_watermark
                .and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok());
        });
        self.board.landed_to(self.partition, tip.end + 1);
    }

    fn commit(&self, claim: &Claim) {
        let mut offsets = TopicPartitionList::new();
        let mut entry = offsets.add_partition(&self.topic, self.partition);
        entry.set_metadata(Committed::metadata(claim.start));
        let committed = entry
            .set_offset(Offset::Offset(claim.end + 1))
            .and_then(|()| self.consumer.commit(&offsets, CommitMode::Async));
        if let Err(error) = committed {
            // A hint only: the chain is in the store.
            tracing::debug!(%error, partition = self.partition, "the offset was not committed");
        }
    }

    async fn committed(&self) -> Option<Committed> {
        let (consumer, topic, partition) = (
            Arc::clone(&self.consumer),
            self.topic.clone(),
            self.partition,
        );
        let asked = tokio::task::spawn_blocking(move || {
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition(&topic, partition);
            let answer = consumer.committed_offsets(offsets, KAFKA_CALL).ok()?;
            let entry = answer.find_partition(&topic, partition)?;
            match entry.offset() {
                Offset::Offset(offset) => Committed::parse(offset, entry.metadata()),
                _ => None,
            }
        });
        asked.await.ok().flatten()
    }

    /// What Kafka has of the partition; waits as long as Kafka is away.
    async fn retained(&self) -> Retained {
        loop {
            let (consumer, topic, partition) = (
                Arc::clone(&self.consumer),
                self.topic.clone(),
                self.partition,
            );
            let asked = tokio::task::spawn_blocking(move || {
                consumer.fetch_watermarks(&topic, partition, KAFKA_CALL)
            });
            match asked.await {
                Ok(Ok((low, high))) => return Retained { low, high },
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the offsets of the log are not known yet")
                }
                Err(error) => tracing::debug!(%error, "the offsets of the log were not asked for"),
            }
            tokio::time::sleep(KAFKA_PAUSE).await;
        }
    }

    /// What Kafka has, unless the log ends before the chain does.
    async fn checked_end(&self, position: &Position) -> Result<Retained, Ended> {
        let next = position.chain.next();
        for _ in 0..END_CHECKS {
            let retained = self.retained().await;
            if retained.high >= next {
                return Ok(retained);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let high = self.retained().await.high;
        Err(self.diverged(&format!(
            "offsets up to {} are landed, but its log now ends before offset {high}",
            next - 1
        )))
    }

    fn diverged(&self, what: &str) -> Ended {
        Ended::Stopped(
            Reason::LogDiverged,
            divergence(&self.topic, self.partition, what),
        )
    }

    /// Watermark at which a partition begins that was added to a running topic.
    async fn joining_watermark(&self) -> Option<i64> {
        let store = self.ledger.store();
        let topic_id = self.chain.topic_id();
        let first = store
            .persist(|| self.ledger.first_partitions(topic_id))
            .await?;
        if self.partition < first {
            return None;
        }
        store
            .persist(|| self.ledger.watermark(topic_id, first))
            .await
    }

    /// Every period that has a folder in the table.
    async fn periods(&self, layout: &Layout) -> Vec<Period> {
        use stockpipe_crds::pipeline::PartitionBy;
        let store = self.ledger.store();
        let root = format!("{}/", self.stager.prefix);
        let mut folders = store.persist(|| store.folders(&root)).await;
        if layout.partition_by == PartitionBy::Hour {
            let mut hours = Vec::new();
            for day in &folders {
                let under = format!("{root}{day}/");
                let found = store.persist(|| store.folders(&under)).await;
                hours.extend(found.into_iter().map(|hour| format!("{day}/{hour}")));
            }
            folders = hours;
        }
        folders.iter().filter_map(|f| f.parse().ok()).collect()
    }

    fn command(&self, command: Command) {
        // The polling thread is gone only when everything ends.
        let _ = self.commands.send(command);
    }
}

/// The sentence of a log that was rewritten.
pub(super) fn divergence(topic: &str, partition: i32, what: &str) -> String {
    format!(
        "partition {partition} of topic `{topic}` is not the log that was landed: {what}. Nothing more is landed from \
         it; delete the topic, let `provision` make it again, and run `stockpipe repair` to land the new one"
    )
}

/// The sentence of a record that is not the one that was landed.
pub(super) fn rewritten(topic: &str, partition: i32, landed: LastRecord, found: u32) -> String {
    divergence(
        topic,
        partition,
        &format!(
            "the record at offset {} had CRC {:08x} when it was landed and has {found:08x} now",
            landed.offset, landed.crc
        ),
    )
}
