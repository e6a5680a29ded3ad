//! The newest run of each report, from the run records in S3.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use stockpipe_crds::pipeline::Report;
use stockpipe_crds::run_record::{RunRecord, RunState};

use crate::ledger::lake_root;
use crate::store::{Store, StoreError};

use super::wire::{ReportInfo, ReportState};

/// Records of a report that are read when the page starts: the newest by date, of which the one claimed last is
/// shown.
const FIRST_LOOK: usize = 5;
/// Every so many rounds all records of a report are listed, for a run by hand may be for an old date; else only
/// newer ones than those seen.
const LIST_ALL_EVERY: u32 = 15;

/// Reads the run records of a pipeline's reports, again and again.
#[derive(Debug, Default)]
pub struct ReportReader {
    known: BTreeMap<String, Known>,
    round: u32,
}

#[derive(Debug, Default)]
struct Known {
    /// Keys of the records that were seen.
    seen: BTreeSet<String>,
    /// The record that was claimed last.
    shown: Option<RunRecord>,
}

impl ReportReader {
    /// The newest run of each of `reports`; `lake_id` is absent until the prefix is claimed.
    ///
    /// # Errors
    /// Where the store refuses or is not reached.
    pub async fn read(
        &mut self,
        store: &Store,
        lake_id: Option<&str>,
        reports: &[Report],
        now: Timestamp,
    ) -> Result<Vec<ReportInfo>, StoreError> {
        let all = self.round.is_multiple_of(LIST_ALL_EVERY);
        self.round = self.round.wrapping_add(1);
        let mut infos = Vec::with_capacity(reports.len());
        for report in reports {
            let known = self.known.entry(report.name.clone()).or_default();
            if let Some(lake_id) = lake_id {
                known.look(store, lake_id, &report.name, all).await?;
            }
            infos.push(info(report, known.shown.as_ref(), now));
        }
        Ok(infos)
    }
}

impl Known {
    async fn look(
        &mut self,
        store: &Store,
        lake_id: &str,
        name: &str,
        all: bool,
    ) -> Result<(), StoreError> {
        let folder = format!("{}/runs/report/{name}@", lake_root(lake_id));
        let mut pages = store.list(&folder);
        if let (Some(newest), false) = (self.seen.last(), all) {
            pages = pages.after(newest);
        }
        let mut wanted = Vec::new();
        while let Some(page) = pages.next().await? {
            let keys = page.into_iter().map(|object| object.key);
            wanted.extend(keys.filter(|key| !self.seen.contains(key)));
        }
        if self.seen.is_empty() {
            let older = wanted.len().saturating_sub(FIRST_LOOK);
            self.seen.extend(wanted.drain(..older));
        }
        if let Some(shown) = &self.shown
            && !shown.state.is_final()
        {
            wanted.push(RunRecord::object_key(
                lake_id,
                &shown.run_key,
                shown.attempt,
            ));
        }
        for key in wanted {
            if let Some(record) = store.get_json::<RunRecord>(&key).await? {
                self.take(record);
            }
            self.seen.insert(key);
        }
        Ok(())
    }

    fn take(&mut self, record: RunRecord) {
        let newer = self
            .shown
            .as_ref()
            .is_none_or(|shown| record.claimed_at >= shown.claimed_at);
        if newer {
            self.shown = Some(record);
        }
    }
}

/// What the page says of `report`, whose newest run is `record`. Pure.
fn info(report: &Report, record: Option<&RunRecord>, now: Timestamp) -> ReportInfo {
    let next_run = report
        .schedule
        .as_ref()
        .filter(|schedule| !schedule.suspend)
        .and_then(|schedule| schedule.cron.next(now, &schedule.time_zone));
    let Some(record) = record else {
        return ReportInfo {
            name: report.name.clone(),
            state: ReportState::NotRun,
            data_date: None,
            rows: None,
            scanned_bytes: None,
            cost_usd: None,
            output: None,
            finished_at: None,
            message: None,
            next_run,
        };
    };
    let (state, message) = match record.state {
        RunState::Waiting => (
            ReportState::Waiting,
            Some(format!(
                "Waits until the watermark has passed {}",
                record.interval_end
            )),
        ),
        RunState::Running => (ReportState::Running, None),
        RunState::Succeeded if record.partial => (
            ReportState::Partial,
            Some("Ran at its deadline, before the watermark had passed its interval".to_owned()),
        ),
        RunState::Succeeded => (ReportState::Succeeded, None),
        RunState::Failed => (
            ReportState::Failed,
            record.error.as_ref().map(|e| e.message.clone()),
        ),
    };
    ReportInfo {
        name: report.name.clone(),
        state,
        data_date: Some(record.data_date),
        rows: record.rows,
        scanned_bytes: record.scanned_bytes,
        cost_usd: record.cost_usd.clone(),
        output: record.output.clone(),
        finished_at: record.finished_at,
        message,
        next_run,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use stockpipe_crds::pipeline::{BuiltinReport, DataDate, Interval, ReportQuery, Schedule};
    use stockpipe_crds::run_record::RunError;

    use super::*;

    fn report() -> Report {
        Report {
            name: "daily-ohlcv".into(),
            query: ReportQuery::Builtin(BuiltinReport::DailyOhlcv),
            interval: Interval::Session,
            data_date: DataDate::Session,
            schedule: Some(Schedule {
                cron: "30 16 * * 1-5".parse().unwrap(),
                time_zone: TimeZone::UTC,
                suspend: false,
            }),
            deadline: Duration::from_secs(7200),
            max_scanned_bytes: 1 << 30,
            catch_up: None,
        }
    }

    fn record(state: RunState, claimed_at: &str) -> RunRecord {
        serde_json::from_value(serde_json::json!({
            "runKey": "report/daily-ohlcv@2026-11-20",
            "attempt": 0,
            "state": state,
            "owner": "host/1",
            "claimedAt": claimed_at,
            "dataDate": "2026-11-20",
            "intervalStart": "2026-11-20T14:30:00Z",
            "intervalEnd": "2026-11-20T21:00:00Z",
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_report_that_never_ran_says_when_it_will() {
        let info = info(&report(), None, now());
        assert_eq!(info.state, ReportState::NotRun);
        assert_eq!(info.next_run.unwrap().to_string(), "2026-11-20T16:30:00Z");
    }

    #[test]
    fn each_state_of_a_run_reads_as_what_a_person_wants_to_know() {
        let of = |record: &RunRecord| info(&report(), Some(record), now());
        let waiting = of(&record(RunState::Waiting, "2026-11-20T21:30:00Z"));
        assert_eq!(
            waiting.message.as_deref(),
            Some("Waits until the watermark has passed 2026-11-20T21:00:00Z")
        );
        let mut partial = record(RunState::Succeeded, "2026-11-20T21:30:00Z");
        partial.partial = true;
        assert_eq!(of(&partial).state, ReportState::Partial);
        let mut failed = record(RunState::Failed, "2026-11-20T21:30:00Z");
        failed.error = Some(RunError {
            reason: "QueryFailed".into(),
            message: "line 1: no such column".into(),
            retryable: false,
        });
        let failed = of(&failed);
        assert_eq!(failed.message.as_deref(), Some("line 1: no such column"));
        assert_eq!(failed.data_date, Some(date(2026, 11, 20)));
    }

    #[test]
    fn the_run_claimed_last_is_shown_whatever_its_date() {
        let mut known = Known::default();
        known.take(record(RunState::Succeeded, "2026-11-20T21:30:00Z"));
        known.take(record(RunState::Failed, "2026-11-19T21:30:00Z"));
        assert_eq!(known.shown.as_ref().unwrap().state, RunState::Succeeded);
        known.take(record(RunState::Running, "2026-11-21T08:00:00Z"));
        assert_eq!(known.shown.as_ref().unwrap().state, RunState::Running);
    }
}
