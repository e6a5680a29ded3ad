//! Runs that somebody asked for by annotation.

use stockpipe_crds::StockPipeline;
use stockpipe_crds::run_key::{CRAWL, IntervalStart, RunKey, RunKind};

use crate::build::Run;
use crate::build::task::TaskId;
use crate::labels::RUN_NOW;

/// What an annotation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, or nothing new.
    Nothing,
    /// A run.
    Run {
        /// The annotation's value, to be echoed.
        text: String,
        /// The run.
        run: Run,
    },
    /// Something that cannot be run.
    Refused {
        /// The annotation's value, to be echoed.
        text: String,
        /// Why, and what to write.
        why: String,
    },
}

/// What the annotation of `resource` asks for, beyond what its status says was
/// handled.
#[must_use]
pub fn asked(resource: &StockPipeline) -> Asked {
    let annotations = resource.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|all| all.get(RUN_NOW)) else {
        return Asked::Nothing;
    };
    // The status keeps 256 bytes of it.
    let text: String = text.chars().take(64).collect();
    let handled = resource
        .status
        .as_ref()
        .and_then(|status| status.last_handled_run_now.as_ref());
    if handled == Some(&text) {
        return Asked::Nothing;
    }
    match parse(&text, resource) {
        Ok(run) => Asked::Run { text, run },
        Err(why) => Asked::Refused { text, why },
    }
}

fn parse(text: &str, resource: &StockPipeline) -> Result<Run, String> {
    const EXAMPLE: &str = "write for instance report/daily-ohlcv@2026-11-20#1";
    let (key, attempt) = text
        .split_once('#')
        .ok_or_else(|| format!("{text:?} names no attempt; {EXAMPLE}"))?;
    match attempt.parse::<u32>() {
        Ok(1..) => {}
        _ => {
            return Err(format!(
                "attempt {attempt:?} is none: the schedule's is 0, runs by hand count from 1; {EXAMPLE}"
            ));
        }
    }
    let key: RunKey = key.parse().map_err(|error| format!("{error}"))?;
    let task = match key.kind() {
        RunKind::Report => report(&key, resource)?,
        RunKind::Crawl => crawl(&key, resource)?,
        RunKind::Transform => {
            return Err(format!(
                "only reports and crawls run in this version; {EXAMPLE}"
            ));
        }
    };
    Ok(Run::Now {
        task,
        run: text.to_owned(),
    })
}

fn crawl(key: &RunKey, resource: &StockPipeline) -> Result<TaskId, String> {
    if resource.spec.catalog.crawler.is_none() {
        return Err(
            "the pipeline has no crawler; write catalog: {crawler: {}} to have one".to_owned(),
        );
    }
    if key.name() != CRAWL || !matches!(key.start(), IntervalStart::Minute(_)) {
        return Err(format!(
            "{key} is no crawl; write the minute of one, for instance crawl/{CRAWL}@2026-11-20T1505Z#1"
        ));
    }
    Ok(TaskId::Crawl)
}

fn report(key: &RunKey, resource: &StockPipeline) -> Result<TaskId, String> {
    let reports = &resource.spec.reports;
    if !reports
        .iter()
        .any(|report| report.name.as_str() == key.name())
    {
        let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        return Err(format!(
            "the pipeline has no report {:?}; it has {}",
            key.name(),
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        ));
    }
    Ok(TaskId::Report(key.name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::samples::Sample;
    use stockpipe_crds::status::StockPipelineStatus;

    #[test]
    fn a_run_is_asked_for_by_key_and_attempt_and_everything_else_is_told_why_not() {
        for (text, refused) in [
            ("report/daily-ohlcv@2026-11-20#1", None),
            ("report/rates@2026-11-20T1500Z#7", None),
            ("report/daily-ohlcv@2026-11-20", Some("names no attempt")),
            ("report/daily-ohlcv@2026-11-20#0", Some("count from 1")),
            ("report/daily-ohlcv@2026-11-20#x", Some("count from 1")),
            ("report/daily-ohlcv#1", Some("is not a run key")),
            (
                "report/weekly@2026-11-20#1",
                Some("it has daily-ohlcv, rates"),
            ),
            ("crawl/ticks@2026-11-20T1505Z#1", None),
            ("crawl/ticks@2026-11-20#1", Some("write the minute")),
            ("crawl/other@2026-11-20T1505Z#1", Some("is no crawl")),
            (
                "transform/bars@2026-11-20#1",
                Some("only reports and crawls"),
            ),
        ] {
            let mut sample = Sample::full();
            sample.annotate(RUN_NOW, text);
            match (asked(&sample.resource), refused) {
                (Asked::Run { text: echoed, .. }, None) => assert_eq!(echoed, text),
                (Asked::Refused { why, .. }, Some(says)) => assert!(why.contains(says), "{why}"),
                (asked, _) => panic!("{text}: {asked:?}"),
            }
            sample.resource.status = Some(StockPipelineStatus {
                last_handled_run_now: Some(text.into()),
                ..StockPipelineStatus::default()
            });
            assert_eq!(
                asked(&sample.resource),
                Asked::Nothing,
                "{text} was handled"
            );
        }
        assert_eq!(asked(&Sample::full().resource), Asked::Nothing);
        let mut without = Sample::full();
        without.edit(|spec| spec.catalog.crawler = None);
        without.annotate(RUN_NOW, "crawl/ticks@2026-11-20T1505Z#1");
        assert!(
            matches!(asked(&without.resource), Asked::Refused { why, .. } if why.contains("has no crawler"))
        );
    }
}
