//! A group through its states, with the clock in the test's hand.

use bytes::Bytes;

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_secs(3);

struct Bench {
    group: Group,
    now: Instant,
}

type Waiting = oneshot::Receiver<Joined>;

impl Bench {
    fn new() -> Self {
        let settings = Settings {
            min_session: Duration::from_secs(6),
            max_session: Duration::from_secs(1_800),
            initial_delay: DELAY,
        };
        Self {
            group: Group::new(settings),
            now: Instant::now(),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.group.expire(self.now);
    }

    fn request(member: &str) -> Join {
        Join {
            member: member.to_owned(),
            instance: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"ticks"))],
            requires_id: true,
            skips_assignment: false,
        }
    }

    fn join(&mut self, join: Join) -> Waiting {
        self.group.join(join, self.now)
    }

    /// A new member that has its id and waits for the rebalance.
    fn enter(&mut self) -> (String, Waiting) {
        let told = answer(&mut self.join(Self::request("")));
        assert_eq!(told.error, Some(ResponseError::MemberIdRequired));
        let waiting = self.join(Self::request(&told.member));
        (told.member, waiting)
    }

    fn sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(&str, &str)],
    ) -> oneshot::Receiver<Synced> {
        let sync = Sync {
            member: member.to_owned(),
            instance: None,
            generation,
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments: assignments
                .iter()
                .map(|(id, assignment)| ((*id).to_owned(), Bytes::from((*assignment).to_owned())))
                .collect(),
        };
        self.group.sync(sync, self.now)
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.group.heartbeat(member, None, generation, self.now)
    }

    /// Two members with assignments: leader and follower of generation 1.
    fn stable_pair() -> (Self, String, String) {
        let mut bench = Self::new();
        let (one, mut first) = bench.enter();
        let (two, mut second) = bench.enter();
        bench.wait(DELAY);
        let leader = answer(&mut first).leader;
        assert_eq!(answer(&mut second).leader, leader);
        let follower = if leader == one { two } else { one };
        let mut waiting = bench.sync(&follower, 1, &[]);
        assert!(waiting.try_recv().is_err());
        let mut led = bench.sync(&leader, 1, &[(&leader, "0"), (&follower, "1")]);
        assert_eq!(answer(&mut led).assignment, "0");
        assert_eq!(answer(&mut waiting).assignment, "1");
        (bench, leader, follower)
    }
}

fn answer<T>(receiver: &mut oneshot::Receiver<T>) -> T {
    receiver.try_recv().expect("an answer")
}

#[test]
fn a_new_member_comes_back_with_the_id_it_was_given() {
    let mut bench = Bench::new();
    let (id, mut waiting) = bench.enter();
    assert!(id.starts_with("client-"));
    assert!(waiting.try_recv().is_err());
    bench.wait(DELAY);
    let joined = answer(&mut waiting);
    assert_eq!((joined.error, joined.generation), (None, 1));
    assert_eq!((&joined.leader, &joined.member), (&id, &id));
    assert_eq!(joined.members, [(id, None, Bytes::from_static(b"ticks"))]);
}

#[test]
fn an_old_client_that_cannot_come_back_joins_at_once() {
    let mut bench = Bench::new();
    let mut waiting = bench.join(Join {
        requires_id: false,
        ..Bench::request("")
    });
    bench.wait(DELAY);
    assert_eq!(answer(&mut waiting).generation, 1);
}

#[test]
fn an_id_that_is_not_taken_up_expires() {
    let mut bench = Bench::new();
    let told = answer(&mut bench.join(Bench::request("")));
    assert!(!bench.group.is_idle());
    bench.wait(SESSION);
    assert!(bench.group.is_idle());
    let refused = answer(&mut bench.join(Bench::request(&told.member)));
    assert_eq!(refused.error, Some(ResponseError::UnknownMemberId));
}

#[test]
fn the_first_rebalance_waits_again_for_each_new_member() {
    let mut bench = Bench::new();
    let (_, mut first) = bench.enter();
    bench.wait(DELAY / 2);
    let (_, mut second) = bench.enter();
    bench.wait(DELAY * 3 / 4);
    assert!(first.try_recv().is_err());
    bench.wait(DELAY / 4);
    assert_eq!(answer(&mut first).generation, 1);
    assert_eq!(answer(&mut second).generation, 1);
}

#[test]
fn only_the_leader_learns_the_members() {
    let mut bench = Bench::new();
    let (_, mut first) = bench.enter();
    let (_, mut second) = bench.enter();
    bench.wait(DELAY);
    let mut counts = [
        answer(&mut first).members.len(),
        answer(&mut second).members.len(),
    ];
    counts.sort_unstable();
    assert_eq!(counts, [0, 2]);
}

#[test]
fn a_third_member_makes_the_others_rejoin() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    assert_eq!(bench.heartbeat(&leader, 1), Ok(()));
    let (third, mut waiting) = bench.enter();
    for member in [&leader, &follower] {
        assert_eq!(
            bench.heartbeat(member, 1),
            Err(ResponseError::RebalanceInProgress)
        );
    }
    let mut rejoined = bench.join(Bench::request(&leader));
    assert!(waiting.try_recv().is_err());
    let mut also = bench.join(Bench::request(&follower));
    // All are there: no delay.
    for joined in [&mut waiting, &mut rejoined, &mut also] {
        let joined = answer(joined);
        assert_eq!((joined.generation, &joined.leader), (2, &leader));
    }
    assert_eq!(bench.heartbeat(&third, 2), Ok(()));
    assert_eq!(
        bench.heartbeat(&third, 1),
        Err(ResponseError::IllegalGeneration)
    );
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_out() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    let mut rejoined = bench.join(Bench::request(&leader));
    for _ in 0..12 {
        assert!(rejoined.try_recv().is_err());
        assert_eq!(
            bench.heartbeat(&follower, 1),
            Err(ResponseError::RebalanceInProgress)
        );
        bench.wait(REBALANCE / 12);
    }
    let joined = answer(&mut rejoined);
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
    assert_eq!(
        bench.heartbeat(&follower, 1),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_silent_member_is_out_after_its_session_and_the_others_are_told() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    bench.wait(SESSION - Duration::from_secs(1));
    bench.heartbeat(&follower, 1).unwrap();
    bench.wait(Duration::from_secs(1));
    assert_eq!(
        bench.heartbeat(&leader, 1),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        bench.heartbeat(&follower, 1),
        Err(ResponseError::RebalanceInProgress)
    );
    let mut rejoined = bench.join(Bench::request(&follower));
    assert_eq!(answer(&mut rejoined).leader, follower);
}

#[test]
fn a_leader_that_dies_before_it_assigns_does_not_hang_the_others() {
    let mut bench = Bench::new();
    let (one, mut first) = bench.enter();
    let (two, _second) = bench.enter();
    bench.wait(DELAY);
    let leader = answer(&mut first).leader;
    let follower = if leader == one { two } else { one };
    let mut waiting = bench.sync(&follower, 1, &[]);
    bench.wait(SESSION);
    assert_eq!(
        answer(&mut waiting).error,
        Some(ResponseError::RebalanceInProgress)
    );
    let mut rejoined = bench.join(Bench::request(&follower));
    assert_eq!(answer(&mut rejoined).leader, follower);
}

#[test]
fn one_that_leaves_makes_the_other_rebalance_and_the_last_one_empties_the_group() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    assert_eq!(bench.group.leave(&leader, None, bench.now), Ok(()));
    assert_eq!(
        bench.group.leave(&leader, None, bench.now),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        bench.heartbeat(&follower, 1),
        Err(ResponseError::RebalanceInProgress)
    );
    assert_eq!(bench.group.leave(&follower, None, bench.now), Ok(()));
    assert!(bench.group.is_idle());
    assert_eq!(bench.group.phase, Phase::Empty);
}

#[test]
fn an_assignor_that_all_know_is_elected_and_one_without_a_common_one_is_refused() {
    let mut bench = Bench::new();
    let protocols = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect()
    };
    let mut one = bench.join(Join {
        protocols: protocols(&["sticky", "range"]),
        requires_id: false,
        ..Bench::request("")
    });
    let mut two = bench.join(Join {
        protocols: protocols(&["roundrobin", "range"]),
        requires_id: false,
        ..Bench::request("")
    });
    let refused = answer(&mut bench.join(Join {
        protocols: protocols(&["sticky"]),
        requires_id: false,
        ..Bench::request("")
    }));
    assert_eq!(
        refused.error,
        Some(ResponseError::InconsistentGroupProtocol)
    );
    bench.wait(DELAY);
    for joined in [&mut one, &mut two] {
        assert_eq!(answer(joined).protocol.as_deref(), Some("range"));
    }
}

#[test]
fn session_timeouts_have_bounds() {
    let mut bench = Bench::new();
    for session_timeout in [Duration::from_secs(5), Duration::from_secs(1_801)] {
        let refused = answer(&mut bench.join(Join {
            session_timeout,
            ..Bench::request("")
        }));
        assert_eq!(refused.error, Some(ResponseError::InvalidSessionTimeout));
    }
}

#[test]
fn a_follower_that_asks_again_stays_and_a_changed_subscription_rebalances() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    let again = answer(&mut bench.join(Bench::request(&follower)));
    assert_eq!((again.generation, again.members.len()), (1, 0));
    let mut changed = bench.join(Join {
        protocols: vec![("range".to_owned(), Bytes::from_static(b"quotes"))],
        ..Bench::request(&follower)
    });
    assert!(changed.try_recv().is_err());
    assert_eq!(
        bench.heartbeat(&leader, 1),
        Err(ResponseError::RebalanceInProgress)
    );
}

#[test]
fn commits_are_those_of_members_or_of_nobody_while_the_group_is_empty() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    let now = bench.now;
    let check = |bench: &mut Bench, member: &str, generation| {
        bench.group.check_commit(member, None, generation, now)
    };
    assert_eq!(check(&mut bench, &leader, 1), Ok(()));
    assert_eq!(
        check(&mut bench, &leader, 0),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        check(&mut bench, "stranger", 1),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        check(&mut bench, "", -1),
        Err(ResponseError::UnknownMemberId)
    );
    // While others rejoin, a member still commits what it has done.
    let _third = bench.enter();
    assert_eq!(check(&mut bench, &follower, 1), Ok(()));
    assert_eq!(check(&mut Bench::new(), "", -1), Ok(()));
}

#[test]
fn a_sync_of_another_generation_or_in_a_rebalance_is_refused() {
    let (mut bench, leader, follower) = Bench::stable_pair();
    let error = |receiver: &mut oneshot::Receiver<Synced>| answer(receiver).error;
    assert_eq!(
        error(&mut bench.sync(&leader, 2, &[])),
        Some(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        error(&mut bench.sync("x", 1, &[])),
        Some(ResponseError::UnknownMemberId)
    );
    assert_eq!(answer(&mut bench.sync(&follower, 1, &[])).assignment, "1");
    let _third = bench.enter();
    assert_eq!(
        error(&mut bench.sync(&leader, 1, &[])),
        Some(ResponseError::RebalanceInProgress)
    );
}

#[test]
fn a_restarted_static_leader_takes_its_place_without_a_rebalance_and_fences_the_old_process() {
    for skips_assignment in [false, true] {
        let mut bench = Bench::new();
        let instance = "lander-0".to_owned();
        let fixed = || Join {
            instance: Some(instance.clone()),
            skips_assignment,
            ..Bench::request("")
        };
        let mut first = bench.join(fixed());
        let (other, mut follower) = bench.enter();
        bench.wait(DELAY);
        let old = answer(&mut first).member;
        assert_eq!(answer(&mut follower).leader, old);
        let sync = |member: &str, assignments: &[(&str, &'static str)]| Sync {
            member: member.to_owned(),
            instance: (member != other).then(|| instance.clone()),
            generation: 1,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .iter()
                .map(|(to, what)| ((*to).to_owned(), Bytes::from_static(what.as_bytes())))
                .collect(),
        };
        let assigned = sync(&old, &[(&old, "0"), (&other, "1")]);
        let mut synced = bench.group.sync(assigned, bench.now);
        assert_eq!(answer(&mut synced).assignment, "0");

        let mut second = bench.join(fixed());
        let new = answer(&mut second);
        assert_ne!(new.member, old);
        assert_eq!((new.error, new.generation), (None, 1));
        // One that would assign anew must not learn that it leads.
        assert_eq!(new.skip_assignment, skips_assignment);
        assert_eq!(new.leader == new.member, skips_assignment);
        assert_eq!(new.members.len(), if skips_assignment { 2 } else { 0 });
        let mut synced = bench.group.sync(sync(&new.member, &[]), bench.now);
        assert_eq!(answer(&mut synced).assignment, "0");
        assert_eq!(bench.heartbeat(&other, 1), Ok(()));
        let beat = bench.group.heartbeat(&old, Some(&instance), 1, bench.now);
        assert_eq!(beat, Err(ResponseError::FencedInstanceId));

        let changed = Join {
            protocols: vec![("range".to_owned(), Bytes::from_static(b"others"))],
            ..fixed()
        };
        drop(bench.join(changed));
        let beat = bench.heartbeat(&other, 1);
        assert_eq!(beat, Err(ResponseError::RebalanceInProgress));
    }
}

#[test]
fn the_next_deadline_is_never_in_the_past_after_expiry() {
    let (mut bench, ..) = Bench::stable_pair();
    for _ in 0..40 {
        bench.wait(Duration::from_secs(1));
        if let Some(deadline) = bench.group.next_deadline() {
            assert!(deadline > bench.now);
        }
    }
    assert!(bench.group.is_idle());
}
