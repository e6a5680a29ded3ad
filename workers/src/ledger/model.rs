//! Model check of the chain's rules: every interleaving of a few landers over a
//! store that answers truthfully but in any order, with crashes between any two
//! steps, lost answers, and hints that are as stale as can be.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use uuid::Uuid;

use super::decide::{Action, Chain, Event, Link, decide};

/// Offsets of the modelled log are `0..END`.
const END: i64 = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    /// Claims by first offset.
    claims: BTreeMap<i64, Link>,
    /// Claims whose files are visible.
    published: BTreeSet<Uuid>,
    /// Claims whose staged uploads were aborted.
    aborted: BTreeSet<Uuid>,
    /// Next claim id.
    minted: u128,
    crashes_left: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lander {
    /// Not assigned, or restarted.
    Down,
    Running {
        chain: Chain,
        at: Step,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    /// Staged under this id.
    Staged {
        id: Uuid,
        start: i64,
        end: i64,
    },
    /// The PUT of this claim is about to be sent (again).
    Claiming(Link),
    /// The PUT of this claim was answered 412.
    Refused(Link),
    Publishing(Link),
    /// Published, but the lander has not yet been told.
    Published,
}

type Rules = fn(&mut Chain, Event) -> Action;

/// All states that one step of lander `i` can lead to.
fn steps(rules: Rules, world: &World, landers: &[Lander], i: usize) -> Vec<(World, Vec<Lander>)> {
    let mut out = Vec::new();
    let mut to = |world: World, lander: Lander| {
        let mut landers = landers.to_vec();
        landers[i] = lander;
        out.push((world, landers));
    };
    let (chain, at) = match &landers[i] {
        Lander::Down => {
            // A hint may point to any claim; from there the chain is followed to its end.
            let mut tip = None;
            let mut next = 0;
            while let Some(link) = world.claims.get(&next) {
                tip = Some(*link);
                next = link.end + 1;
            }
            let chain = Chain::assigned(0, tip);
            to(
                world.clone(),
                Lander::Running {
                    chain,
                    at: Step::Idle,
                },
            );
            return out;
        }
        Lander::Running { chain, at } => (chain, *at),
    };
    if world.crashes_left > 0 {
        let mut crashed = world.clone();
        crashed.crashes_left -= 1;
        to(crashed, Lander::Down);
    }
    let mut act = |world: World, event: Event, staged: Option<Link>| {
        let mut chain = chain.clone();
        let mut world = world;
        let step = match rules(&mut chain, event) {
            Action::Consume { from } => {
                for end in from..END.min(from + 2) {
                    let mut world = world.clone();
                    world.minted += 1;
                    let id = Uuid::from_u128(world.minted);
                    let at = Step::Staged {
                        id,
                        start: from,
                        end,
                    };
                    to(
                        world,
                        Lander::Running {
                            chain: chain.clone(),
                            at,
                        },
                    );
                }
                return;
            }
            Action::Claim { epoch } => {
                let staged = staged.expect("only a staged range is claimed");
                Step::Claiming(Link { epoch, ..staged })
            }
            Action::Publish(link) => Step::Publishing(link),
            Action::Yield(link) => {
                world.aborted.extend(staged.map(|s| s.claim_id));
                Step::Publishing(link)
            }
            Action::Discard { .. } => {
                world.aborted.extend(staged.map(|s| s.claim_id));
                Step::Idle
            }
            Action::GiveUp => {
                world.aborted.extend(staged.map(|s| s.claim_id));
                to(world, Lander::Down);
                return;
            }
            Action::Hint(_) => Step::Idle,
        };
        to(world, Lander::Running { chain, at: step });
    };
    match at {
        Step::Idle => act(world.clone(), Event::Idle, None),
        Step::Staged { id, start, end } => {
            let staged = Link {
                claim_id: id,
                epoch: 0,
                start,
                end,
            };
            act(world.clone(), Event::Staged { start, end }, Some(staged));
        }
        Step::Claiming(link) => match world.claims.get(&link.start) {
            Some(_) => to(
                world.clone(),
                Lander::Running {
                    chain: chain.clone(),
                    at: Step::Refused(link),
                },
            ),
            None => {
                let mut world = world.clone();
                world.claims.insert(link.start, link);
                act(world.clone(), Event::Claimed(link), Some(link));
                // The PUT landed and its answer was lost: it is sent again.
                to(
                    world,
                    Lander::Running {
                        chain: chain.clone(),
                        at: Step::Claiming(link),
                    },
                );
            }
        },
        Step::Refused(link) => {
            let found = world.claims[&link.start];
            let event = Event::Taken {
                ours: link.claim_id,
                found,
            };
            act(world.clone(), event, Some(link));
        }
        Step::Publishing(link) => {
            let mut world = world.clone();
            world.published.insert(link.claim_id);
            to(
                world,
                Lander::Running {
                    chain: chain.clone(),
                    at: Step::Published,
                },
            );
        }
        Step::Published => act(world.clone(), Event::Published, None),
    }
    out
}

/// What must hold in every reachable state; a sentence where it does not.
fn broken(world: &World) -> Option<String> {
    let mut next = 0;
    for (start, link) in &world.claims {
        if *start != next || link.start != *start || link.end < *start {
            return Some(format!(
                "the chain does not tile at offset {next}: {:?}",
                world.claims
            ));
        }
        next = link.end + 1;
    }
    let links: Vec<_> = world.claims.values().collect();
    for link in links.iter().rev().skip(1) {
        if !world.published.contains(&link.claim_id) {
            return Some(format!("somebody claimed past the unpublished {link:?}"));
        }
    }
    for link in links {
        if world.aborted.contains(&link.claim_id) {
            return Some(format!(
                "the uploads of {link:?} were aborted though it is in the chain"
            ));
        }
    }
    let claimed: BTreeSet<_> = world.claims.values().map(|l| l.claim_id).collect();
    (!world.published.is_subset(&claimed))
        .then(|| "files without a claim became visible".to_owned())
}

/// Visits every reachable state; their number, or what broke.
fn explore(rules: Rules, landers: usize, crashes: u8) -> Result<usize, String> {
    let world = World {
        crashes_left: crashes,
        ..World::default()
    };
    let first = (world, vec![Lander::Down; landers]);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    let mut whole = false;
    while let Some((world, landers)) = open.pop() {
        if let Some(what) = broken(&world) {
            return Err(what);
        }
        whole |= world
            .claims
            .values()
            .last()
            .is_some_and(|l| l.end == END - 1);
        let mut moved = false;
        for i in 0..landers.len() {
            for next in steps(rules, &world, &landers, i) {
                // Ids only need to differ: rename them away so that equal states meet.
                let next = renamed(next);
                moved |= next.0 != world || next.1 != landers;
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        let landed: i64 = world.claims.values().map(|l| l.end - l.start + 1).sum();
        if !moved && landed < END {
            return Err(format!("the landers are stuck at offset {landed}"));
        }
    }
    if whole {
        Ok(seen.len())
    } else {
        Err("no run landed the whole log".to_owned())
    }
}

/// The same state with its claim ids numbered in order of appearance.
fn renamed((mut world, mut landers): (World, Vec<Lander>)) -> (World, Vec<Lander>) {
    let mut names = BTreeMap::new();
    let mut rename = |id: Uuid| {
        let n = names.len() as u128 + 1;
        *names.entry(id).or_insert_with(|| Uuid::from_u128(n))
    };
    let mut link = |l: Link| Link {
        claim_id: rename(l.claim_id),
        ..l
    };
    world.claims = world.claims.iter().map(|(k, l)| (*k, link(*l))).collect();
    for lander in &mut landers {
        if let Lander::Running { chain, at } = lander {
            *chain = chain.renamed(&mut link);
            *at = match *at {
                Step::Staged { id, start, end } => {
                    let l = link(Link {
                        claim_id: id,
                        epoch: 0,
                        start,
                        end,
                    });
                    Step::Staged {
                        id: l.claim_id,
                        start,
                        end,
                    }
                }
                Step::Claiming(l) => Step::Claiming(link(l)),
                Step::Refused(l) => Step::Refused(link(l)),
                Step::Publishing(l) => Step::Publishing(link(l)),
                other @ (Step::Idle | Step::Published) => other,
            };
        }
    }
    // An aborted or published id that nobody refers to any more cannot matter again.
    let known = |names: &BTreeMap<Uuid, Uuid>, ids: &BTreeSet<Uuid>| {
        ids.iter().filter_map(|id| names.get(id).copied()).collect()
    };
    world.published = known(&names, &world.published);
    world.aborted = known(&names, &world.aborted);
    world.minted = names.len() as u128;
    (world, landers)
}

#[test]
fn two_landers_with_crashes_keep_one_chain_in_every_interleaving() {
    let states = explore(decide, 2, 3).unwrap();
    assert!(
        states > 1_000,
        "only {states} states: the model is too small to say anything"
    );
}

#[test]
fn three_landers_keep_one_chain_in_every_interleaving() {
    let states = explore(decide, 3, 1).unwrap();
    assert!(
        states > 10_000,
        "only {states} states: the model is too small to say anything"
    );
}

#[test]
fn the_model_notices_a_claim_past_an_unpublished_one() {
    fn hasty(chain: &mut Chain, event: Event) -> Action {
        if let Event::Staged { start, .. } = event
            && start == chain.next()
        {
            return Action::Claim {
                epoch: chain.epoch(),
            };
        }
        match decide(chain, event) {
            Action::Publish(link) if event == Event::Idle => Action::Consume { from: link.end + 1 },
            other => other,
        }
    }
    assert!(explore(hasty, 2, 2).unwrap_err().contains("claimed past"));
}

#[test]
fn the_model_notices_an_abort_of_uploads_that_a_claim_names() {
    fn forgetful(chain: &mut Chain, event: Event) -> Action {
        match event {
            // Takes every 412 for another's claim.
            Event::Taken { found, .. } => decide(
                chain,
                Event::Taken {
                    ours: Uuid::nil(),
                    found,
                },
            ),
            other => decide(chain, other),
        }
    }
    assert!(explore(forgetful, 2, 1).unwrap_err().contains("aborted"));
}

#[test]
fn the_model_notices_a_claim_that_is_no_boundary() {
    fn careless(chain: &mut Chain, event: Event) -> Action {
        match decide(chain, event) {
            Action::Consume { from } => Action::Consume { from: from.max(1) },
            Action::Discard { .. } => Action::Claim {
                epoch: chain.epoch(),
            },
            other => other,
        }
    }
    assert!(
        explore(careless, 1, 0)
            .unwrap_err()
            .contains("does not tile")
    );
}
