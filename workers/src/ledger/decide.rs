//! The rules of the chain, in one pure function. The lander and the model checker both call it.

use uuid::Uuid;

/// What the rules need to know of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Its id.
    pub claim_id: Uuid,
    /// Its epoch.
    pub epoch: u64,
    /// First offset.
    pub start: i64,
    /// Last offset.
    pub end: i64,
}

impl From<&super::claim::Claim> for Link {
    fn from(claim: &super::claim::Claim) -> Self {
        Self {
            claim_id: claim.claim_id,
            epoch: claim.epoch,
            start: claim.start,
            end: claim.end,
        }
    }
}

/// What one lander knows of a partition's chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    base: i64,
    epoch: u64,
    tip: Option<Link>,
    published: bool,
}

impl Chain {
    /// The chain as an assignment finds it. Whether its tip was published is not known, so it is published again.
    #[must_use]
    pub fn assigned(base: i64, tip: Option<Link>) -> Self {
        Self {
            base,
            epoch: tip.map_or(0, |t| t.epoch) + 1,
            tip,
            published: tip.is_none(),
        }
    }

    /// The only offset at which this lander may claim: `genesis.base`, or `end + 1` of a claim that it wrote or read.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.tip.map_or(self.base, |t| t.end + 1)
    }

    /// Epoch of this assignment.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest claim known.
    #[must_use]
    pub fn tip(&self) -> Option<Link> {
        self.tip
    }

    /// The same knowledge under other claim ids, so that the model checker can tell equal states.
    #[cfg(test)]
    pub(super) fn renamed(&self, mut rename: impl FnMut(Link) -> Link) -> Self {
        Self {
            tip: self.tip.map(&mut rename),
            ..self.clone()
        }
    }

    /// Whether the newest claim is known to be published.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.published
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Nothing is staged; what is there to do?
    Idle,
    /// The files of `start..=end` are staged.
    Staged {
        /// First offset.
        start: i64,
        /// Last offset.
        end: i64,
    },
    /// The claim's PUT was answered: created.
    Claimed(Link),
    /// The claim's PUT was answered 412; this claim was read there.
    Taken {
        /// Id of the claim that we tried to write.
        ours: Uuid,
        /// What is there.
        found: Link,
    },
    /// Every file of the tip is visible.
    Published,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read records from this offset on.
    Consume {
        /// The offset.
        from: i64,
    },
    /// Write the claim of the staged range.
    Claim {
        /// With this epoch.
        epoch: u64,
    },
    /// Make every file of the tip visible, whoever wrote it.
    Publish(Link),
    /// Another's claim stands where ours would: abort what we staged, publish theirs, read on after it.
    Yield(Link),
    /// The staged range does not continue the chain (it was read before another's claim was met): abort it.
    Discard {
        /// Where the chain goes on.
        resume: i64,
    },
    /// A newer lander owns the partition: abort what we staged, drop everything, and rejoin the group.
    GiveUp,
    /// Commit `end + 1` and write `tip.json`.
    Hint(Link),
}

/// The one next step of a lander, and what it knows from then on.
///
/// Rules: claim only at [`Chain::next`]; never while the tip is unpublished; at a 412 the claim that is there
/// counts, and the higher epoch wins the partition, not the range.
#[must_use]
pub fn decide(chain: &mut Chain, event: Event) -> Action {
    match event {
        Event::Idle => match unpublished(chain) {
            Some(tip) => Action::Publish(tip),
            None => Action::Consume { from: chain.next() },
        },
        Event::Staged { start, end } => match unpublished(chain) {
            Some(tip) => Action::Publish(tip),
            None if start == chain.next() && end >= start => Action::Claim { epoch: chain.epoch },
            None => Action::Discard {
                resume: chain.next(),
            },
        },
        Event::Claimed(link) => {
            chain.tip = Some(link);
            chain.published = false;
            Action::Publish(link)
        }
        Event::Taken { ours, found } if found.claim_id == ours => {
            decide(chain, Event::Claimed(found))
        }
        Event::Taken { found, .. } if found.epoch > chain.epoch => Action::GiveUp,
        Event::Taken { found, .. } => {
            chain.tip = Some(found);
            chain.published = false;
            Action::Yield(found)
        }
        Event::Published => {
            chain.published = true;
            match chain.tip {
                Some(tip) => Action::Hint(tip),
                None => Action::Consume { from: chain.base },
            }
        }
    }
}

fn unpublished(chain: &Chain) -> Option<Link> {
    chain.tip.filter(|_| !chain.published)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::claim::{Claim, ClaimKind, LastRecord, Layout};
    use super::*;
    use stockpipe_crds::pipeline::{Compression, Format, PartitionBy};

    pub(crate) fn link(id: u128, epoch: u64, start: i64, end: i64) -> Link {
        Link {
            claim_id: Uuid::from_u128(id),
            epoch,
            start,
            end,
        }
    }

    pub(crate) fn claim(id: u128, epoch: u64, start: i64, end: i64) -> Claim {
        Claim {
            claim_id: Uuid::from_u128(id),
            kind: ClaimKind::Data,
            epoch,
            owner: "lander".into(),
            claimed_at: jiff::Timestamp::UNIX_EPOCH,
            start,
            end,
            records: 0,
            rows: 0,
            quarantined: 0,
            heartbeats: 0,
            skipped_offsets: 0,
            late: 0,
            last_record: Some(LastRecord {
                offset: end,
                crc: 0,
            }),
            producers: Default::default(),
            watermark: None,
            closed_through: None,
            layout: Layout {
                format: Format::Parquet,
                codec: Compression::Zstd,
                partition_by: PartitionBy::Hour,
                schema_id: 1,
                writer_version: "0".into(),
            },
            files: vec![],
            quarantine: vec![],
            trace: None,
        }
    }

    #[test]
    fn the_rules_of_the_chain() {
        let mine = Uuid::from_u128(1);
        let tip = link(9, 4, 0, 9);
        let fresh = || Chain::assigned(0, None);
        let assigned = || Chain::assigned(0, Some(tip));
        let ready = || {
            let mut chain = assigned();
            assert_eq!(decide(&mut chain, Event::Published), Action::Hint(tip));
            chain
        };
        let staged = |start, end| Event::Staged { start, end };
        let taken = |found| Event::Taken { ours: mine, found };
        let ours = link(1, 5, 10, 14);
        let older = link(2, 4, 10, 12);
        let equal = link(3, 5, 10, 12);
        let newer = link(4, 6, 10, 12);
        for (name, mut chain, event, expected, next) in [
            (
                "an empty chain is read from its base",
                fresh(),
                Event::Idle,
                Action::Consume { from: 0 },
                0,
            ),
            (
                "the first claim starts at the base",
                fresh(),
                staged(0, 3),
                Action::Claim { epoch: 1 },
                0,
            ),
            (
                "nothing else may be first",
                fresh(),
                staged(1, 3),
                Action::Discard { resume: 0 },
                0,
            ),
            (
                "a new owner publishes the tip first",
                assigned(),
                Event::Idle,
                Action::Publish(tip),
                10,
            ),
            (
                "and does not claim past it before",
                assigned(),
                staged(10, 14),
                Action::Publish(tip),
                10,
            ),
            (
                "then it reads on",
                ready(),
                Event::Idle,
                Action::Consume { from: 10 },
                10,
            ),
            (
                "and claims with a higher epoch",
                ready(),
                staged(10, 14),
                Action::Claim { epoch: 5 },
                10,
            ),
            (
                "a range behind the tip is dropped",
                ready(),
                staged(5, 14),
                Action::Discard { resume: 10 },
                10,
            ),
            (
                "a range after a gap is dropped",
                ready(),
                staged(11, 14),
                Action::Discard { resume: 10 },
                10,
            ),
            (
                "an empty range is dropped",
                ready(),
                staged(10, 9),
                Action::Discard { resume: 10 },
                10,
            ),
            (
                "a created claim is published",
                ready(),
                Event::Claimed(ours),
                Action::Publish(ours),
                15,
            ),
            (
                "one's own claim at a 412 had landed",
                ready(),
                taken(ours),
                Action::Publish(ours),
                15,
            ),
            (
                "an older lander's claim counts",
                ready(),
                taken(older),
                Action::Yield(older),
                13,
            ),
            (
                "so does that of the same epoch",
                ready(),
                taken(equal),
                Action::Yield(equal),
                13,
            ),
            (
                "to a newer lander the zombie gives up",
                ready(),
                taken(newer),
                Action::GiveUp,
                10,
            ),
        ] {
            assert_eq!(decide(&mut chain, event), expected, "{name}");
            assert_eq!(chain.next(), next, "{name}");
        }
    }

    #[test]
    fn after_yielding_the_others_claim_is_published_before_ours() {
        let mut chain = Chain::assigned(0, None);
        let theirs = link(2, 1, 0, 4);
        let taken = Event::Taken {
            ours: Uuid::from_u128(1),
            found: theirs,
        };
        assert_eq!(decide(&mut chain, taken), Action::Yield(theirs));
        let staged = Event::Staged { start: 5, end: 6 };
        assert_eq!(decide(&mut chain, staged), Action::Publish(theirs));
        assert_eq!(decide(&mut chain, Event::Published), Action::Hint(theirs));
        assert_eq!(decide(&mut chain, staged), Action::Claim { epoch: 1 });
    }
}
