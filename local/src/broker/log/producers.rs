//! What a partition knows of each idempotent producer: its epoch and its last five batches.
//!
//! The rules are Apache Kafka's (`ProducerStateManager`, `ProducerAppendInfo`). The state is
//! a fold over batch headers in offset order, and so the same after a restart.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::error::ResponseError;

use super::batch::BatchHeader;

/// Batches remembered for each producer: as many as a producer may have in flight.
const REMEMBERED: usize = 5;

/// Producers remembered for each partition; the one that wrote longest ago is forgotten
/// first. A producer that is not known may go on with any sequence, as in Apache Kafka.
const MAX_PRODUCERS: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Written {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    last_offset: i64,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    written: VecDeque<Written>,
}

/// The idempotent producers of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new.
    Append,
    /// It is in the log already, from this offset on.
    Duplicate { base_offset: i64 },
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SequenceError {
    #[error("producer {id} sent sequence {sent} where {expected} is due")]
    OutOfOrder { id: i64, sent: i32, expected: i32 },
    #[error("producer {id} sent epoch {sent} after epoch {current}")]
    StaleEpoch { id: i64, sent: i16, current: i16 },
}

impl SequenceError {
    pub(crate) fn code(self) -> ResponseError {
        match self {
            Self::OutOfOrder { .. } => ResponseError::OutOfOrderSequenceNumber,
            Self::StaleEpoch { .. } => ResponseError::InvalidProducerEpoch,
        }
    }
}

impl Producers {
    /// Decides on a batch that a producer sent.
    pub(crate) fn judge(&self, batch: &BatchHeader) -> Result<Verdict, SequenceError> {
        if !batch.is_idempotent() {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            return Ok(Verdict::Append);
        };
        let id = batch.producer_id;
        if batch.producer_epoch < producer.epoch {
            return Err(SequenceError::StaleEpoch {
                id,
                sent: batch.producer_epoch,
                current: producer.epoch,
            });
        }
        let sent = batch.base_sequence;
        if batch.producer_epoch > producer.epoch {
            return match sent {
                0 => Ok(Verdict::Append),
                _ => Err(SequenceError::OutOfOrder {
                    id,
                    sent,
                    expected: 0,
                }),
            };
        }
        let duplicate = producer.written.iter().find(|written| {
            written.base_sequence == sent && written.last_sequence == batch.last_sequence()
        });
        if let Some(written) = duplicate {
            return Ok(Verdict::Duplicate {
                base_offset: written.base_offset,
            });
        }
        let expected = producer
            .written
            .back()
            .map_or(0, |written| match written.last_sequence {
                i32::MAX => 0,
                last => last + 1,
            });
        if sent == expected {
            Ok(Verdict::Append)
        } else {
            Err(SequenceError::OutOfOrder { id, sent, expected })
        }
    }

    /// Notes a batch that was appended, its base offset assigned.
    pub(crate) fn note(&mut self, batch: &BatchHeader) {
        if !batch.is_idempotent() {
            return;
        }
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                epoch: batch.producer_epoch,
                written: VecDeque::with_capacity(REMEMBERED),
            });
        if batch.producer_epoch != producer.epoch {
            producer.epoch = batch.producer_epoch;
            producer.written.clear();
        }
        if producer.written.len() == REMEMBERED {
            producer.written.pop_front();
        }
        producer.written.push_back(Written {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
        });
        if self.by_id.len() > MAX_PRODUCERS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .by_id
            .iter()
            .min_by_key(|(_, producer)| producer.written.back().map(|w| w.last_offset))
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::Compression;

    use super::super::batch::tests::sent;
    use super::*;

    fn batch(id: i64, epoch: i16, sequence: i32, count: usize, offset: i64) -> BatchHeader {
        let bytes = sent((id, epoch, sequence), count, 0, Compression::None);
        BatchHeader {
            base_offset: offset,
            ..BatchHeader::parse(&bytes).unwrap()
        }
    }

    fn ten_batches() -> Producers {
        let mut producers = Producers::default();
        for i in 0..10 {
            producers.note(&batch(1, 0, i * 3, 3, i64::from(i) * 100));
        }
        producers
    }

    #[test]
    fn the_last_five_batches_are_answered_with_their_first_offset() {
        let producers = ten_batches();
        for i in 5..10 {
            assert_eq!(
                producers.judge(&batch(1, 0, i * 3, 3, 0)),
                Ok(Verdict::Duplicate {
                    base_offset: i64::from(i) * 100
                })
            );
        }
    }

    #[test]
    fn an_older_duplicate_and_a_gap_are_out_of_order() {
        let producers = ten_batches();
        for sequence in [12, 31, 33] {
            assert_eq!(
                producers.judge(&batch(1, 0, sequence, 3, 0)),
                Err(SequenceError::OutOfOrder {
                    id: 1,
                    sent: sequence,
                    expected: 30
                })
            );
        }
        assert_eq!(producers.judge(&batch(1, 0, 30, 3, 0)), Ok(Verdict::Append));
    }

    #[test]
    fn a_batch_that_overlaps_a_duplicate_is_out_of_order() {
        let producers = ten_batches();
        assert!(producers.judge(&batch(1, 0, 27, 4, 0)).is_err());
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = ten_batches();
        assert!(producers.judge(&batch(1, 1, 30, 1, 0)).is_err());
        assert_eq!(producers.judge(&batch(1, 1, 0, 1, 0)), Ok(Verdict::Append));
        producers.note(&batch(1, 1, 0, 1, 2_000));
        assert_eq!(
            producers.judge(&batch(1, 0, 30, 1, 0)),
            Err(SequenceError::StaleEpoch {
                id: 1,
                sent: 0,
                current: 1
            })
        );
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere() {
        assert_eq!(
            ten_batches().judge(&batch(2, 4, 77, 1, 0)),
            Ok(Verdict::Append)
        );
    }

    #[test]
    fn the_sequence_after_the_greatest_is_zero() {
        let mut producers = Producers::default();
        producers.note(&batch(1, 0, i32::MAX - 1, 2, 0));
        assert_eq!(producers.judge(&batch(1, 0, 0, 2, 0)), Ok(Verdict::Append));
    }

    #[test]
    fn the_number_of_producers_is_bounded_and_the_oldest_goes_first() {
        let mut producers = Producers::default();
        let header = batch(0, 0, 0, 1, 0);
        for id in 0..=MAX_PRODUCERS as i64 {
            producers.note(&BatchHeader {
                producer_id: id,
                base_offset: id,
                ..header
            });
        }
        assert_eq!(producers.by_id.len(), MAX_PRODUCERS);
        assert!(!producers.by_id.contains_key(&0));
    }
}
