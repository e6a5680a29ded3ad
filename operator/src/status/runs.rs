//! What runs of reports, and crawls, came to, as their pods' last words say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stockpipe_crds::run_record::{RunRecord, RunState};
use stockpipe_crds::spec::report::ReportSpec;
use stockpipe_crds::status::{CatalogStatus, CrawlStatus, ReportStatus, StockPipelineStatus};

use crate::build::task::TaskId;
use crate::child_kind::ChildKind;
use crate::children::{Child, Children, Detail};
use crate::labels::{COMPONENT, REPORT, Role};

/// Longest reason of a failed crawl that is told, in bytes.
const LONGEST_MESSAGE: usize = 512;

/// The last run of each report of `specs`: `last`, or what a pod says of a
/// later one. The record in the store is the result; this is a copy.
#[must_use]
pub fn fold_runs(
    last: &[ReportStatus],
    specs: &[ReportSpec],
    children: &Children,
) -> Vec<ReportStatus> {
    specs
        .iter()
        .filter_map(|spec| {
            let name = spec.name.as_str();
            let known = last.iter().find(|known| known.name == name);
            // The pod of a later run may be gone before that of an earlier one.
            let newest = newest_record(name, children).filter(|record| {
                known.is_none_or(|known| known.finished_at <= Some(told_end(record)))
            });
            match newest {
                Some(record) => Some(ReportStatus {
                    scheduled_through: known.and_then(|known| known.scheduled_through.clone()),
                    ..copy(name, &record)
                }),
                None => known.cloned(),
            }
        })
        .collect()
}

/// Notes up to which schedule time the runs of each report are settled.
pub(super) fn settle(
    reports: &mut Vec<ReportStatus>,
    settled: &BTreeMap<TaskId, Option<Timestamp>>,
) {
    for (task, at) in settled {
        let TaskId::Report(name) = task else { continue };
        let at = at.map(|at| format!("{at:.0}"));
        match reports.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.scheduled_through = at,
            None if at.is_none() => {}
            None => reports.push(ReportStatus {
                name: name.clone(),
                last_key: None,
                state: None,
                finished_at: None,
                scheduled_through: at,
                rows: None,
                scanned_bytes: None,
                cost_usd: None,
                output: None,
            }),
        }
    }
}

/// The last crawl: `last`, or what a pod says of a later one, with the schedule
/// times that are settled.
pub(super) fn fold_crawl(
    last: Option<&CatalogStatus>,
    children: &Children,
    settled: &BTreeMap<TaskId, Option<Timestamp>>,
) -> Option<CatalogStatus> {
    let known = last.cloned().unwrap_or_default();
    let crawls = |child: &Child| {
        child.labels.get(COMPONENT).map(String::as_str) == Some(Role::Crawl.as_str())
    };
    let newest = newest(children, crawls, |record| record.crawl.is_some()).filter(|record| {
        let last = known.last_crawl.as_ref();
        last.is_none_or(|last| last.time <= told_end(record))
    });
    let folded = CatalogStatus {
        last_crawl: newest
            .map(|record| copy_crawl(&record))
            .or(known.last_crawl),
        scheduled_through: match settled.get(&TaskId::Crawl) {
            Some(at) => at.map(|at| format!("{at:.0}")),
            None => known.scheduled_through,
        },
    };
    (folded != CatalogStatus::default()).then_some(folded)
}

fn copy_crawl(record: &RunRecord) -> CrawlStatus {
    let partitions = record.crawl.as_ref().and_then(|crawl| crawl.partitions);
    CrawlStatus {
        key: Some(record.run_key.to_string()),
        time: told_end(record),
        state: record.state,
        partitions: partitions.and_then(|count| i64::try_from(count).ok()),
        message: record.error.as_ref().map(|error| {
            let end = error.message.floor_char_boundary(LONGEST_MESSAGE);
            error.message[..end].to_owned()
        }),
    }
}

/// Whether the last crawl failed.
pub(super) fn crawl_failed(status: &StockPipelineStatus) -> bool {
    let last = status
        .catalog
        .as_ref()
        .and_then(|catalog| catalog.last_crawl.as_ref());
    last.is_some_and(|crawl| crawl.state == RunState::Failed)
}

/// The record of the run of `report` that ended last, of those whose pods are
/// still there.
fn newest_record(report: &str, children: &Children) -> Option<RunRecord> {
    newest(
        children,
        |child| child.labels.get(REPORT).map(String::as_str) == Some(report),
        |record| record.run_key.name() == report,
    )
}

/// The record that ended last, of pods that are wanted.
fn newest(
    children: &Children,
    wanted: impl Fn(&Child) -> bool,
    belongs: impl Fn(&RunRecord) -> bool,
) -> Option<RunRecord> {
    children
        .of_kind(ChildKind::Pod)
        .filter(|child| wanted(child))
        .filter_map(|child| match &child.detail {
            Detail::Pod(pod) => pod.terminated.as_ref(),
            _ => None,
        })
        .filter_map(|last_words| serde_json::from_str::<RunRecord>(&last_words.message).ok())
        .filter(|record| record.state.is_final() && belongs(record))
        .max_by_key(ended)
}

fn ended(record: &RunRecord) -> Timestamp {
    record.finished_at.unwrap_or(record.claimed_at)
}

/// When it ended, as a status says it: later is greater.
fn told_end(record: &RunRecord) -> String {
    format!("{:.0}", ended(record))
}

fn copy(name: &str, record: &RunRecord) -> ReportStatus {
    let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
    ReportStatus {
        name: name.to_owned(),
        last_key: Some(record.run_key.to_string()),
        state: Some(record.state),
        finished_at: Some(told_end(record)),
        scheduled_through: None,
        rows: number(record.rows),
        scanned_bytes: number(record.scanned_bytes),
        cost_usd: record.cost_usd.clone(),
        output: record.output.clone(),
    }
}

/// For the column of `kubectl get`: the last run that changed, and its state.
#[must_use]
pub fn newest_run(reports: &[ReportStatus], last: Option<&str>) -> Option<String> {
    let shown: Vec<(String, &str)> = reports
        .iter()
        .filter_map(|report| {
            let key = report.last_key.as_deref()?;
            let key = key.split_once('/').map_or(key, |(_, key)| key);
            let start = key.split_once('@').map_or(key, |(_, start)| start);
            let state = match report.state? {
                RunState::Waiting => "Waiting",
                RunState::Running => "Running",
                RunState::Succeeded => "Succeeded",
                RunState::Failed => "Failed",
            };
            Some((format!("{key} {state}"), start))
        })
        .collect();
    let newest = shown.iter().map(|(_, start)| *start).max()?;
    let mut newest = shown
        .iter()
        .filter(|(_, start)| *start == newest)
        .map(|(text, _)| text.as_str());
    // Of several of one date, that which was shown stays.
    let first = newest.next()?;
    let shown_before = std::iter::once(first)
        .chain(newest)
        .find(|text| Some(*text) == last);
    Some(shown_before.unwrap_or(first).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{Child, PodDetail, Termination};
    use crate::labels;
    use std::sync::Arc;

    fn record(key: &str, state: &str, finished: &str) -> String {
        serde_json::json!({
            "runKey": key, "attempt": 0, "state": state, "owner": "host/1",
            "claimedAt": "2026-11-20T21:30:00Z", "finishedAt": finished,
            "dataDate": "2026-11-20",
            "intervalStart": "2026-11-20T14:30:00Z", "intervalEnd": "2026-11-20T21:00:00Z",
            "rows": 500, "scannedBytes": 73_400_320_u64, "costUsd": "0.000335"
        })
        .to_string()
    }

    fn pod(name: &str, report: &str, message: String) -> Arc<Child> {
        let mut labels = labels::of("x", Some(labels::Role::Report));
        labels.insert(REPORT.into(), report.into());
        Arc::new(Child {
            kind: ChildKind::Pod,
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            resource_version: "1".into(),
            generation: None,
            labels,
            annotations: Default::default(),
            owners: Vec::new(),
            created: None,
            deleting: false,
            detail: Detail::Pod(PodDetail {
                terminated: Some(Termination {
                    exit_code: 0,
                    message,
                    at: None,
                }),
                ..PodDetail::default()
            }),
        })
    }

    fn spec(name: &str) -> ReportSpec {
        serde_json::from_value(serde_json::json!({"name": name, "builtin": "daily-ohlcv"})).unwrap()
    }

    #[test]
    fn the_run_that_ended_last_is_told_and_words_that_are_no_record_are_not() {
        let children = Children::new([
            pod(
                "a",
                "daily",
                record(
                    "report/daily@2026-11-20",
                    "Succeeded",
                    "2026-11-20T21:31:00Z",
                ),
            ),
            pod(
                "b",
                "daily",
                record("report/daily@2026-11-19", "Failed", "2026-11-19T21:31:00Z"),
            ),
            pod("c", "daily", "cannot reach s3".into()),
            pod(
                "d",
                "daily",
                record("report/other@2026-11-21", "Failed", "2026-11-21T21:31:00Z"),
            ),
        ]);
        let runs = fold_runs(&[], &[spec("daily"), spec("never")], &children);
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].last_key.as_deref(), Some("report/daily@2026-11-20"));
        assert_eq!(runs[0].state, Some(RunState::Succeeded));
        assert_eq!(runs[0].rows, Some(500));
        assert_eq!(
            newest_run(&runs, None).as_deref(),
            Some("daily@2026-11-20 Succeeded")
        );
    }

    #[test]
    fn what_was_known_stays_when_its_pod_is_gone_and_goes_with_its_report() {
        let children = Children::new([pod(
            "a",
            "daily",
            record(
                "report/daily@2026-11-20",
                "Succeeded",
                "2026-11-20T21:31:00Z",
            ),
        )]);
        let mut known = fold_runs(&[], &[spec("daily")], &children);
        known[0].scheduled_through = Some("2026-11-20T21:30:00Z".into());
        let none = Children::default();
        assert_eq!(fold_runs(&known, &[spec("daily")], &none), known);
        assert_eq!(fold_runs(&known, &[spec("daily")], &children), known);
        assert!(fold_runs(&known, &[spec("other")], &none).is_empty());
        let settle_daily = |at: Option<Timestamp>| {
            let mut reports = known.clone();
            settle(
                &mut reports,
                &BTreeMap::from([(TaskId::Report("daily".to_owned()), at)]),
            );
            reports[0].scheduled_through.clone()
        };
        // A suspended schedule starts anew when it is resumed.
        assert_eq!(settle_daily(None), None);
        let later: Timestamp = "2026-11-23T21:30:00Z".parse().unwrap();
        assert_eq!(
            settle_daily(Some(later)).as_deref(),
            Some("2026-11-23T21:30:00Z")
        );
    }

    #[test]
    fn the_last_crawl_is_told_as_a_report_is_and_stays_when_its_pod_is_gone() {
        let words = |state: &str, finished: &str| {
            let text = record("crawl/ticks@2026-11-20T2105Z", state, finished);
            let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
            record["crawl"] = serde_json::json!({"crawler": "stockpipe-x", "partitions": 24});
            if state == "Failed" {
                record["error"] =
                    serde_json::json!({"reason": "CrawlFailed", "message": "é".repeat(300)});
            }
            record.to_string()
        };
        let crawl = |name: &str, words: String| {
            let mut child = Arc::into_inner(pod(name, "daily", words)).unwrap();
            child.labels = labels::of("x", Some(labels::Role::Crawl));
            Arc::new(child)
        };
        let settled =
            BTreeMap::from([(TaskId::Crawl, Some("2026-11-20T21:05:00Z".parse().unwrap()))]);
        let children = Children::new([
            crawl("a", words("Succeeded", "2026-11-20T21:06:00.5Z")),
            crawl("b", words("Failed", "2026-11-20T21:05:30Z")),
            crawl("c", "Glue is away".into()),
        ]);
        let catalog = fold_crawl(None, &children, &settled).unwrap();
        let last = catalog.last_crawl.clone().unwrap();
        assert_eq!(last.key.as_deref(), Some("crawl/ticks@2026-11-20T2105Z"));
        assert_eq!(
            (last.state, last.partitions),
            (RunState::Succeeded, Some(24))
        );
        assert_eq!(
            catalog.scheduled_through.as_deref(),
            Some("2026-11-20T21:05:00Z")
        );
        let none = Children::default();
        assert_eq!(
            fold_crawl(Some(&catalog), &none, &BTreeMap::new()),
            Some(catalog)
        );
        assert_eq!(fold_crawl(None, &none, &BTreeMap::new()), None);
        let failed = Children::new([crawl("b", words("Failed", "2026-11-20T21:05:30Z"))]);
        let last = fold_crawl(None, &failed, &settled)
            .unwrap()
            .last_crawl
            .unwrap();
        assert_eq!(last.message.unwrap().len(), 512);
    }
}
