//! What a source of ticks offers the producer.

use serde_json::Value;
use stockpipe_crds::pipeline::Source as Spec;
use stockpipe_market::tick::Tick;

use super::live::Liveness;
use super::pace::{Nanos, Pace};
use super::recovery::{Numbers, Present};
use super::replay::BadRow;
use super::{live, replay, simulated};
use crate::context::Context;

/// Why a source cannot go on: one sentence that says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedError(pub String);

/// A source of ticks, as the pipeline's file describes it.
pub trait Source: Send {
    /// Fingerprint of every setting that decides which ticks are made, and in which order.
    fn settings(&self) -> String;

    /// How fast its market time runs.
    fn pace(&self) -> Pace;

    /// Begins a new run, with no tick before `not_before`, where an earlier run has ended, if that can be.
    ///
    /// # Errors
    /// Where the source cannot be opened.
    fn begin(&self, run: &str, not_before: Option<Nanos>) -> Result<Box<dyn Feed>, FeedError>;

    /// Goes on with `run` from what [`Feed::state`] said; `None` where the
    /// state is not of this source any more, so that only a new run is honest.
    ///
    /// # Errors
    /// Where the source cannot be opened.
    fn resume(&self, run: &str, state: &Value) -> Result<Option<Box<dyn Feed>>, FeedError>;

    /// Whether it makes the ticks of the past again, the same. One that cannot goes on behind what is present.
    fn repeats(&self) -> bool {
        true
    }

    /// As [`Source::resume`], and told what the log holds of the run; for a source that does not repeat.
    ///
    /// # Errors
    /// Where the source cannot be opened.
    fn resume_behind(
        &self,
        run: &str,
        state: &Value,
        _present: &Present,
        _numbers: &Numbers,
    ) -> Result<Option<Box<dyn Feed>>, FeedError> {
        self.resume(run, state)
    }
}

/// A running source: ticks in one deterministic order, by time.
pub trait Feed {
    /// Every tick before this event time has been emitted.
    fn position(&self) -> Nanos;

    /// Emits ticks in order, about `budget` at most, all with `ts_event < until`; `sink` says whether to go on.
    /// Without a limit met it leaves the position at `until`, or beyond it where it skips hours in which nothing comes.
    ///
    /// # Errors
    /// Where the source cannot go on; everything before the fault has been emitted.
    fn emit(
        &mut self,
        until: Nanos,
        budget: usize,
        sink: &mut dyn FnMut(&Tick) -> bool,
    ) -> Result<(), FeedError>;

    /// Where no tick will come any more, the event time that closes the last one's period.
    fn end(&self) -> Option<Nanos>;

    /// Times of the last tick and of the next, where both are known.
    fn silence(&self) -> Option<(Nanos, Nanos)> {
        None
    }

    /// Rows since the last call that could not be read, and go to quarantine.
    fn take_rejected(&mut self) -> Vec<Rejected> {
        Vec::new()
    }

    /// How many rows the run has put into quarantine, and how many it has left out because another said the same.
    fn left_out(&self) -> (u64, u64) {
        (0, 0)
    }

    /// What a live feed says of itself.
    fn live(&self) -> Option<Liveness> {
        None
    }

    /// What [`Source::resume`] needs to go on from here.
    fn state(&self) -> Value;
}

/// A row that could not be read.
pub struct Rejected {
    /// Contiguous in the run, from 0.
    pub seq: u64,
    /// The row.
    pub row: BadRow,
}

/// The pipeline's source.
///
/// # Errors
/// Where its settings cannot be used.
pub fn source(ctx: &Context) -> Result<Box<dyn Source>, FeedError> {
    Ok(match &ctx.pipeline.source {
        Spec::Simulated { .. } => Box::new(simulated::Simulated::new(&ctx.pipeline)?),
        Spec::Replay { .. } => {
            Box::new(replay::Replay::new(&ctx.pipeline, replay::Access::of(ctx))?)
        }
        Spec::Live(settings) => Box::new(live::LiveSource::new(ctx, settings)?),
    })
}

/// A short, stable fingerprint of `parts`.
pub fn fingerprint(parts: &[&str]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..8])
}
