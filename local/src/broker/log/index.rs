//! A sparse index: where in a segment to start looking for an offset or a time.

/// Bytes of log between two entries. An entry takes 24 bytes, so that a log of 100 GiB has
/// an index of 40 MB at most.
pub(crate) const INTERVAL_BYTES: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Base offset of the batch at `position`.
    offset: i64,
    position: u64,
    /// Greatest timestamp of the batches before `position`.
    before: i64,
}

/// The index of one segment, in memory and rebuilt from batch headers on start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Notes a batch that starts at `position`, where it is due for an entry. `before` is the
    /// greatest timestamp of the segment's batches before it.
    pub(crate) fn note(&mut self, offset: i64, position: u64, before: i64) {
        let due = self
            .entries
            .last()
            .is_none_or(|entry| position >= entry.position + INTERVAL_BYTES);
        if due {
            self.entries.push(Entry {
                offset,
                position,
                before,
            });
        }
    }

    /// A batch's position at or before the batch that holds `offset`.
    pub(crate) fn position_of_offset(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries[..after]
            .last()
            .map_or(0, |entry| entry.position)
    }

    /// A batch's position at or before the first batch with a record at or after `timestamp`.
    pub(crate) fn position_of_time(&self, timestamp: i64) -> u64 {
        let after = self
            .entries
            .partition_point(|entry| entry.before < timestamp);
        self.entries[..after]
            .last()
            .map_or(0, |entry| entry.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        // Batches of 10 offsets and 40 KiB, their timestamps out of order.
        let times = [100, 50, 300, 200, 400, 350];
        let mut before = i64::MIN;
        for (i, time) in times.into_iter().enumerate() {
            index.note(i as i64 * 10, i as u64 * (40 << 10), before);
            before = before.max(time);
        }
        index
    }

    #[test]
    fn entries_are_an_interval_apart() {
        let positions: Vec<u64> = index().entries.iter().map(|e| e.position >> 10).collect();
        assert_eq!(positions, [0, 80, 160]);
    }

    #[test]
    fn an_offset_is_never_before_the_position_found_for_it() {
        let index = index();
        for (offset, position) in [(0, 0), (19, 0), (20, 80), (39, 80), (40, 160), (1_000, 160)] {
            assert_eq!(index.position_of_offset(offset) >> 10, position, "{offset}");
        }
    }

    #[test]
    fn a_time_is_found_where_it_is_first_reached_although_timestamps_go_back() {
        let index = index();
        for (time, position) in [(50, 0), (100, 0), (101, 80), (300, 80), (301, 160)] {
            assert_eq!(index.position_of_time(time) >> 10, position, "{time}");
        }
    }

    #[test]
    fn an_empty_index_starts_at_the_beginning() {
        assert_eq!(Index::default().position_of_offset(5), 0);
        assert_eq!(Index::default().position_of_time(5), 0);
    }
}
