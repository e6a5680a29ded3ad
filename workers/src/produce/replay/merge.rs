//! Several files as one, by time; at equal times in the files' order.
//!
//! A file is open from its first row's time to its last row's: a year of daily files needs one or two at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::file::{Reading, Rows};
use super::place::Item;
use super::row::{Entries, Entry};
use crate::produce::FeedError;
use crate::produce::pace::Nanos;

/// The rows of all files, each of which is in order of time.
pub struct Merge {
    items: Vec<Item>,
    reading: Reading,
    /// The time of each file's next row.
    next: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// The files that are open, and their next row.
    open: Vec<Option<(Rows, Entry)>>,
}

impl Merge {
    /// Looks at the first row of every file.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn new(items: Vec<Item>, reading: Reading) -> Result<Self, FeedError> {
        let mut next = BinaryHeap::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Some(first) = Rows::open(item, &reading)?.next()? {
                next.push(Reverse((first.at, index)));
            }
        }
        Ok(Self {
            open: items.iter().map(|_| None).collect(),
            items,
            reading,
            next,
        })
    }
}

impl Entries for Merge {
    fn next(&mut self) -> Result<Option<Entry>, FeedError> {
        let Some(Reverse((_, index))) = self.next.pop() else {
            return Ok(None);
        };
        let (mut rows, entry) = match self.open[index].take() {
            Some(open) => open,
            None => {
                let mut rows = Rows::open(&self.items[index], &self.reading)?;
                match rows.next()? {
                    Some(first) => (rows, first),
                    // It had a row a moment ago.
                    None => {
                        return Err(FeedError(format!(
                            "{}: the file was changed while it was read",
                            self.items[index].name
                        )));
                    }
                }
            }
        };
        if let Some(following) = rows.next()? {
            self.next.push(Reverse((following.at, index)));
            self.open[index] = Some((rows, following));
        }
        Ok(Some(entry))
    }
}
