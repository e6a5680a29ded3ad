//! Schedules of crawlers: AWS's cron grammar, and who fires them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use stockpipe_crds::cron::Cron;

use super::Crawlers;
use super::definition::crawler_name;
use crate::aws_json::AwsError;
use crate::glue::input::{invalid, text};

/// A schedule of AWS, `cron(minute hour day-of-month month day-of-week year)`
/// in UTC
/// (<https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html>):
/// as five fields whose days of the week count from 0.
///
/// # Errors
/// `InvalidInputException` for what is no such expression, names years, or uses
/// `L`, `W` or `#`.
pub(super) fn parse(expression: &str) -> Result<Cron, AwsError> {
    let refused = |why: &str| {
        invalid(format!(
            "Schedule expression {expression} {why}; write for instance cron(15 12 * * ? *)."
        ))
    };
    let fields = expression
        .trim()
        .strip_prefix("cron(")
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or_else(|| refused("is not of the form cron(…)"))?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [minute, hour, day, month, weekday, year] = fields[..] else {
        return Err(refused("has not six fields"));
    };
    if year != "*" {
        return Err(refused("names years, which the local cloud does not keep"));
    }
    if (day == "?") == (weekday == "?") {
        return Err(refused("needs ? in one of day-of-month and day-of-week"));
    }
    let weekday: String = weekday
        .split_inclusive([',', '-'])
        .map(from_sunday)
        .collect();
    format!("{minute} {hour} {day} {month} {weekday}")
        .parse()
        .map_err(|error| refused(&format!("is not understood: {error}")))
}

/// A day of the week that counts from 1 as one that counts from 0; what follows
/// a slash is a step, and names stay.
fn from_sunday(part: &str) -> String {
    let digits = part
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(part.len());
    match part[..digits].parse::<u32>() {
        Ok(day) => format!("{}{}", day.saturating_sub(1), &part[digits..]),
        Err(_) => part.to_owned(),
    }
}

impl Crawlers {
    pub(super) fn update_schedule(&self, body: &Value) -> Result<Value, AwsError> {
        let name = crawler_name(body, "CrawlerName")?;
        let expression = body["Schedule"].as_str().filter(|text| !text.is_empty());
        if let Some(expression) = expression {
            parse(expression)?;
        }
        self.change(name, |record| {
            match expression {
                Some(expression) => {
                    record.insert(
                        "Schedule".into(),
                        json!({"ScheduleExpression": expression, "State": "SCHEDULED"}),
                    );
                }
                None => {
                    record.remove("Schedule");
                }
            }
            Ok(json!({}))
        })
    }

    pub(super) fn start_schedule(&self, body: &Value) -> Result<Value, AwsError> {
        self.turn(text(body, "CrawlerName")?, "SCHEDULED", || {
            AwsError::client(
                "SchedulerRunningException",
                "The schedule is already running.",
            )
        })
    }

    pub(super) fn stop_schedule(&self, body: &Value) -> Result<Value, AwsError> {
        self.turn(text(body, "CrawlerName")?, "NOT_SCHEDULED", || {
            AwsError::client(
                "SchedulerNotRunningException",
                "The schedule is not running.",
            )
        })
    }

    fn turn(
        &self,
        name: &str,
        state: &str,
        already: impl FnOnce() -> AwsError,
    ) -> Result<Value, AwsError> {
        self.change(name, |record| {
            let Some(schedule) = record.get_mut("Schedule") else {
                return Err(AwsError::client(
                    "NoScheduleException",
                    format!("Crawler with name {name} has no schedule."),
                ));
            };
            if schedule["State"] == state {
                return Err(already());
            }
            schedule["State"] = json!(state);
            Ok(json!({}))
        })
    }

    /// Names of the crawlers whose schedule fires at the whole minute `at`.
    fn due(&self, at: Timestamp) -> Vec<String> {
        let all = self.page(&json!({}), |record| fires(record, at));
        all.map(|(records, _)| records)
            .unwrap_or_default()
            .iter()
            .filter_map(|record| record.get("Name")?.as_str().map(str::to_owned))
            .collect()
    }
}

fn fires(record: &Map<String, Value>, at: Timestamp) -> bool {
    let Some(schedule) = record.get("Schedule").filter(|s| s["State"] == "SCHEDULED") else {
        return false;
    };
    let cron = schedule["ScheduleExpression"]
        .as_str()
        .and_then(|text| parse(text).ok());
    let before = at.checked_sub(SignedDuration::from_secs(1)).ok();
    cron.zip(before)
        .and_then(|(cron, before)| cron.next(before, &TimeZone::UTC))
        == Some(at)
}

/// Starts what is due, each minute, for as long as the catalog is open.
pub(super) async fn keep(crawlers: Weak<Crawlers>) {
    loop {
        let second = Timestamp::now().as_second();
        let Ok(next) = Timestamp::from_second(second - second.rem_euclid(60) + 60) else {
            return;
        };
        let wait = next.duration_since(Timestamp::now());
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        let Some(crawlers) = crawlers.upgrade() else {
            return;
        };
        start_due(&crawlers, next).await;
    }
}

async fn start_due(crawlers: &Arc<Crawlers>, at: Timestamp) {
    let runtime = tokio::runtime::Handle::current();
    let crawlers = Arc::clone(crawlers);
    let started = tokio::task::spawn_blocking(move || {
        for name in crawlers.due(at) {
            if let Err(error) = crawlers.start(&json!({"Name": name}), &runtime) {
                tracing::info!(
                    "the schedule of crawler {name} fired, but {}",
                    error.message
                );
            }
        }
    });
    if let Err(error) = started.await {
        tracing::warn!(%error, "the schedules of crawlers were not looked at");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_of_aws_fires_when_aws_would() {
        for (expression, after, next) in [
            (
                "cron(15 12 * * ? *)",
                "2026-11-20T12:15:00Z",
                "2026-11-21T12:15:00Z",
            ),
            // 2 is Monday there.
            (
                "cron(0 8 ? * 2-6 *)",
                "2026-11-20T08:00:00Z",
                "2026-11-23T08:00:00Z",
            ),
            (
                "cron(0 8 ? * MON *)",
                "2026-11-20T08:00:00Z",
                "2026-11-23T08:00:00Z",
            ),
            (
                "cron(0 8 ? * 1,7 *)",
                "2026-11-20T08:00:00Z",
                "2026-11-21T08:00:00Z",
            ),
            (
                "cron(0/15 * * * ? *)",
                "2026-11-20T08:00:00Z",
                "2026-11-20T08:15:00Z",
            ),
        ] {
            let cron = parse(expression).unwrap();
            let found = cron.next(after.parse().unwrap(), &TimeZone::UTC).unwrap();
            assert_eq!(found.to_string(), next, "{expression}");
        }
        for (expression, says) in [
            ("15 12 * * *", "cron(…)"),
            ("cron(15 12 * * *)", "six fields"),
            ("cron(15 12 * * ? 2027)", "names years"),
            ("cron(15 12 * * * *)", "needs ? in one"),
            ("cron(15 12 L * ? *)", "is not understood"),
        ] {
            let said = parse(expression).unwrap_err().message;
            assert!(said.contains(says), "{expression}: {said}");
        }
    }
}
