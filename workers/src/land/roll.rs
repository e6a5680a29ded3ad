//! When a range is closed, and what to do when memory runs short: pure decisions.

use std::time::Duration;

use stockpipe_crds::pipeline::Roll as Limits;

/// What a partition has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// Kafka records, heartbeats and undecodable ones included.
    pub records: u64,
    /// Rows.
    pub rows: u64,
    /// Estimate of the bytes that its files will have.
    pub bytes: u64,
    /// Age of its oldest record by the wall clock.
    pub age: Duration,
}

/// Whether a range is closed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roll {
    /// It goes on.
    Wait,
    /// It is closed.
    Now,
}

/// Closes a range at its age, rows or bytes, whichever comes first.
#[must_use]
pub fn roll(gathered: Gathered, limits: &Limits) -> Roll {
    let full = gathered.age >= limits.max_age
        || gathered.rows >= limits.max_rows
        || gathered.bytes >= limits.max_bytes;
    if gathered.records > 0 && full {
        Roll::Now
    } else {
        Roll::Wait
    }
}

/// What to do about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Nothing: read on.
    Flow,
    /// Close the range of this partition.
    Roll(i32),
    /// Read nothing until something that is being encoded or uploaded is done.
    Pause,
}

/// Keeps `buffers` (bytes of each partition) and `draining` (bytes being encoded and uploaded) under `budget`.
///
/// Buffers may have half of it, so that one range can be uploaded while the next is gathered. Reading pauses
/// only while something drains: else the largest buffer is rolled, and that drains.
#[must_use]
pub fn relieve(buffers: &[(i32, u64)], draining: u64, budget: u64) -> Relief {
    let gathered: u64 = buffers.iter().map(|(_, bytes)| bytes).sum();
    let largest = buffers
        .iter()
        .filter(|(_, bytes)| *bytes > 0)
        .max_by_key(|(_, bytes)| *bytes);
    let over = gathered + draining >= budget;
    match largest {
        _ if over && draining > 0 => Relief::Pause,
        Some((partition, _)) if over || gathered >= budget / 2 => Relief::Roll(*partition),
        _ => Relief::Flow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_age: Duration::from_secs(60),
        max_rows: 1_000,
        max_bytes: 1 << 20,
        max_files_per_range: 64,
    };

    #[test]
    fn a_range_is_closed_at_whichever_limit_comes_first() {
        let small = Gathered {
            records: 1,
            rows: 1,
            bytes: 100,
            age: Duration::from_secs(1),
        };
        let empty = Gathered {
            records: 0,
            rows: 0,
            bytes: 0,
            age: Duration::from_secs(99),
        };
        let old = Duration::from_secs(60);
        for (name, gathered, expected) in [
            ("a young small range goes on", small, Roll::Wait),
            (
                "an old one is closed",
                Gathered { age: old, ..small },
                Roll::Now,
            ),
            (
                "one of heartbeats too",
                Gathered {
                    age: old,
                    rows: 0,
                    bytes: 0,
                    ..small
                },
                Roll::Now,
            ),
            (
                "rows close it",
                Gathered {
                    rows: 1_000,
                    ..small
                },
                Roll::Now,
            ),
            (
                "bytes close it",
                Gathered {
                    bytes: 1 << 20,
                    ..small
                },
                Roll::Now,
            ),
            ("nothing is never closed", empty, Roll::Wait),
        ] {
            assert_eq!(roll(gathered, &LIMITS), expected, "{name}");
        }
    }

    #[test]
    fn memory_is_relieved_by_the_largest_buffer_and_pauses_only_while_something_drains() {
        for (name, buffers, draining, expected) in [
            ("plenty of room", &[(0, 10), (1, 20)][..], 10, Relief::Flow),
            (
                "half the budget in buffers",
                &[(0, 20), (1, 31)],
                0,
                Relief::Roll(1),
            ),
            (
                "also while others drain",
                &[(0, 20), (1, 31)],
                40,
                Relief::Roll(1),
            ),
            (
                "the whole budget, draining",
                &[(0, 20), (1, 20)],
                60,
                Relief::Pause,
            ),
            (
                "nothing drains: roll, never stall",
                &[(0, 60), (1, 50)],
                0,
                Relief::Roll(0),
            ),
            ("nothing is buffered: wait", &[], 100, Relief::Pause),
            ("nothing at all", &[], 0, Relief::Flow),
        ] {
            assert_eq!(relieve(buffers, draining, 100), expected, "{name}");
        }
    }
}
