//! Proposes how a file that nobody prepared is replayed.

mod guess;
mod roles;
mod sample;
mod times;

use serde_norway::{Mapping, Value};
use stockpipe_crds::pipeline::{BadRows, Pipeline, Source as Spec};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::Tick;

use self::guess::Guess;
use self::sample::Sample;
use super::file::{Reading, Rows};
use super::place::{self, Access, Item};
use super::row::{Entries, What};
use crate::produce::FeedError;

/// Ticks that are shown.
const SHOWN: usize = 10;
/// Rows that are read with the proposal.
const TRIED: usize = 1000;
/// Problems that are shown.
const PROBLEMS: usize = 3;

/// How a file may be replayed.
#[derive(Debug)]
pub struct Proposal {
    /// `source` of a pipeline's spec, as YAML.
    pub yaml: String,
    /// The first ticks that it gives.
    pub ticks: Vec<Tick>,
    /// What the file does not tell, one sentence each.
    pub unsure: Vec<String>,
    /// Rows that were read with it, and how many of them could not be.
    pub tried: usize,
    /// See `tried`.
    pub bad: usize,
    /// Why, of the first of them.
    pub problems: Vec<String>,
}

/// Looks at the first rows of the first file that `uris` name; sessions are those of `calendar`.
///
/// # Errors
/// Where the file cannot be read, or has no column of times or prices.
pub fn infer(uris: &[String], access: &Access, calendar: Calendar) -> Result<Proposal, FeedError> {
    let items = place::items(uris, access)?;
    let item = items
        .first()
        .ok_or_else(|| FeedError(format!("{}: there is no file", uris.join(", "))))?;
    let sample = Sample::read(item, access)?;
    let mut guess = Guess::new(&sample, item, calendar)?;
    if items.len() > 1 {
        guess.unsure.push(format!(
            "{} files are replayed, merged by time; only {} was looked at",
            items.len(),
            item.name
        ));
    }
    let mut proposal = guess.tried(uris, item, access, calendar)?;
    if proposal.unsorted && !guess.sort {
        guess.sort = true;
        guess.unsure.push(
            "rows are not in order of time: unsortedRows: Sort reads everything before the first row is sent"
                .to_owned(),
        );
        proposal = guess.tried(uris, item, access, calendar)?;
    }
    if proposal.duplicates > 0 {
        guess.unsure.push(format!(
            "{} of the first {} rows say what another says: duplicateRows: Drop leaves them out",
            proposal.duplicates, proposal.tried
        ));
    }
    Ok(Proposal {
        yaml: proposal.yaml,
        ticks: proposal.ticks,
        unsure: guess.unsure,
        tried: proposal.tried,
        bad: proposal.bad,
        problems: proposal.problems,
    })
}

struct Tried {
    yaml: String,
    ticks: Vec<Tick>,
    tried: usize,
    bad: usize,
    problems: Vec<String>,
    unsorted: bool,
    duplicates: usize,
}

impl Guess {
    /// Reads the first rows as the replay would.
    fn tried(
        &self,
        uris: &[String],
        item: &Item,
        access: &Access,
        calendar: Calendar,
    ) -> Result<Tried, FeedError> {
        let yaml = self.yaml(uris)?;
        let whole = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: infer}}\nspec:\n  \
             market: {{calendar: {calendar}}}\n  lake: {{bucket: infer}}\n{}",
            indented(&yaml)
        );
        let pipeline = Pipeline::from_yaml(&whole, "proposal")
            .map_err(|e| FeedError(format!("the proposal is no pipeline: {e}")))?;
        let Spec::Replay(settings) = pipeline.source else {
            return Err(FeedError("the proposal is no replay".to_owned()));
        };
        let mut settings = *settings;
        settings.bad_rows = BadRows::Quarantine;
        let reading = Reading {
            settings,
            calendar,
            access: access.clone(),
            run: String::new(),
        };
        let mut rows = Rows::open(item, &reading)?;
        let mut tried = Tried {
            yaml,
            ticks: Vec::new(),
            tried: 0,
            bad: 0,
            problems: Vec::new(),
            unsorted: false,
            duplicates: 0,
        };
        let mut seen = std::collections::HashSet::new();
        while tried.tried < TRIED
            && let Some(entry) = rows.next()?
        {
            tried.tried += 1;
            match entry.what {
                What::Tick(tick) => {
                    let mut body = Vec::new();
                    stockpipe_market::json::encode(&tick, &mut body);
                    tried.duplicates += usize::from(!seen.insert(body));
                    if tried.ticks.len() < SHOWN {
                        tried.ticks.push(*tick);
                    }
                }
                What::Bad(bad) if bad.problem.why.contains("earlier than the one in") => {
                    tried.unsorted = true;
                }
                What::Bad(bad) => {
                    tried.bad += 1;
                    if tried.problems.len() < PROBLEMS {
                        tried.problems.push(bad.to_string());
                    }
                }
            }
        }
        Ok(tried)
    }

    fn yaml(&self, uris: &[String]) -> Result<String, FeedError> {
        let mut replay = Mapping::new();
        match uris {
            [uri] => replay.insert("uri".into(), uri.as_str().into()),
            uris => replay.insert("uris".into(), uris.to_vec().into()),
        };
        for (key, value) in &self.settings {
            replay.insert(key.clone(), value.clone());
        }
        if self.sort {
            replay.insert("unsortedRows".into(), "Sort".into());
        }
        if !self.columns.is_empty() {
            replay.insert("columns".into(), Value::Mapping(self.columns.clone()));
        }
        let replay: Mapping = [("replay".into(), Value::Mapping(replay))]
            .into_iter()
            .collect();
        let source: Mapping = [("source".into(), Value::Mapping(replay))]
            .into_iter()
            .collect();
        serde_norway::to_string(&source)
            .map_err(|e| FeedError(format!("the proposal has no YAML: {e}")))
    }
}

fn indented(yaml: &str) -> String {
    yaml.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests;
