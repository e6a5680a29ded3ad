//! Who leads, decided from a Lease: pure. The clocks of two machines are never
//! compared; only how long this process has seen a record unchanged counts.

use std::time::{Duration, Instant};

/// For how long a renewal holds.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// Without a renewal for so long a leader stops: before its lease runs out.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two renewals of a leader.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Time between two looks of a standby: a lease that was given back is taken
/// within two seconds, the old leader's last half second included.
pub const STANDBY_PERIOD: Duration = Duration::from_secs(1);

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; `None` once it is released.
    pub holder: Option<String>,
    /// For how long a renewal holds.
    pub duration: Duration,
    /// How often it went to another.
    pub transitions: i32,
    /// Version of the object, which every write changes and guards.
    pub resource_version: String,
}

/// What to do about a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// There is none: make it, held by us.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder has gone: take it.
    Acquire,
    /// It is another's, for so long at least.
    Wait(Duration),
}

/// What `me` does about a Lease that reads `record` since `first_seen`.
#[must_use]
pub fn evaluate(
    me: &str,
    record: Option<&LeaseRecord>,
    first_seen: Instant,
    now: Instant,
) -> LeaseAction {
    let Some(record) = record else {
        return LeaseAction::Create;
    };
    match record.holder.as_deref() {
        None | Some("") => LeaseAction::Acquire,
        Some(holder) if holder == me => LeaseAction::Renew,
        Some(_) => {
            let unchanged = now.saturating_duration_since(first_seen);
            match record.duration.checked_sub(unchanged) {
                Some(left) if !left.is_zero() => LeaseAction::Wait(left.min(RETRY_PERIOD)),
                _ => LeaseAction::Acquire,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: Option<&str>) -> LeaseRecord {
        LeaseRecord {
            holder: holder.map(str::to_owned),
            duration: LEASE_DURATION,
            transitions: 0,
            resource_version: "1".into(),
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_its_holder_has_been_silent_for_its_whole_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        for (what, record, now, action) in [
            ("none", None, start, LeaseAction::Create),
            ("released", Some(record(None)), start, LeaseAction::Acquire),
            (
                "released",
                Some(record(Some(""))),
                start,
                LeaseAction::Acquire,
            ),
            (
                "ours",
                Some(record(Some("me"))),
                after(99),
                LeaseAction::Renew,
            ),
            (
                "another's, just seen",
                Some(record(Some("other"))),
                start,
                LeaseAction::Wait(RETRY_PERIOD),
            ),
            (
                "another's, about to run out",
                Some(record(Some("other"))),
                after(14),
                LeaseAction::Wait(Duration::from_secs(1)),
            ),
            (
                "another's, run out",
                Some(record(Some("other"))),
                after(15),
                LeaseAction::Acquire,
            ),
        ] {
            assert_eq!(
                evaluate("me", record.as_ref(), start, now),
                action,
                "{what}"
            );
        }
    }

    #[test]
    fn a_clock_that_seems_to_go_back_takes_no_lease() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let action = evaluate("me", Some(&record(Some("other"))), later, now);
        assert_eq!(action, LeaseAction::Wait(RETRY_PERIOD));
    }

    const _: () = assert!(RENEW_DEADLINE.as_secs() < LEASE_DURATION.as_secs());
}
