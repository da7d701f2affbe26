use proptest::prelude::*;

use super::{model::SimpleQueue, *};

fn key(resource: &str, account: u64) -> WorkKey {
    let resource = Owner { namespace: "ns".into(), name: resource.into() };
    WorkKey { resource, account: format!("{account:012}").parse().unwrap() }
}

fn queue(total: usize, reserved: usize) -> Queue {
    Queue::new(Slots { total, reserved })
}

const NOW: Duration = Duration::from_secs(100);

#[test]
fn the_most_urgent_goes_first_and_nothing_before_its_time() {
    let mut queue = queue(8, 0);
    queue.request(key("poll", 1), Priority::Poll, NOW);
    queue.request(key("new", 2), Priority::NeverVisited, NOW);
    queue.request(key("gone", 3), Priority::Deletion, NOW);
    queue.request(key("later", 4), Priority::Deletion, NOW + Duration::from_secs(1));
    let order: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
    assert_eq!(order, ["gone", "new", "poll"]);
    assert_eq!(queue.next_due(NOW), Some(NOW + Duration::from_secs(1)));
}

#[test]
fn the_depth_tells_what_is_due_and_for_how_long() {
    let mut queue = queue(8, 0);
    queue.request(key("a", 1), Priority::Poll, Duration::from_secs(93));
    queue.request(key("b", 1), Priority::NotReady, Duration::from_secs(97));
    queue.request(key("c", 2), Priority::Poll, NOW + Duration::from_secs(9));
    let running = queue.start(NOW).unwrap();
    assert_eq!(queue.start(NOW), None, "the account is taken");
    let (due, later) = ([(Priority::Poll, 1)].into(), [(Priority::Poll, 1)].into());
    let wanted = Depth { due, later, oldest: Some(Duration::from_secs(7)), running: 1, slots: 8 };
    assert_eq!(queue.depth(NOW), wanted);
    queue.finish(&running);
    queue.forget(&key("a", 1).resource);
    assert_eq!(queue.depth(NOW).oldest, None);
}

#[test]
fn one_pass_at_a_time_in_an_account_and_a_new_request_waits_for_the_running_one() {
    let mut queue = queue(8, 0);
    queue.request(key("a", 1), Priority::NotReady, NOW);
    queue.request(key("b", 1), Priority::NotReady, NOW);
    let first = queue.start(NOW).unwrap();
    assert_eq!(queue.start(NOW), None);
    assert_eq!(queue.next_due(NOW), None);
    queue.request(first.clone(), Priority::SpecChanged, NOW);
    assert_eq!(queue.start(NOW), None);
    queue.finish(&first);
    assert_eq!(queue.start(NOW), Some(first));
}

#[test]
fn polls_leave_the_reserved_slots_free() {
    let mut queue = queue(4, 1);
    for account in 0..6 {
        queue.request(key(&format!("r{account}"), account), Priority::Poll, NOW);
    }
    assert_eq!(std::iter::from_fn(|| queue.start(NOW)).count(), 3);
    queue.request(key("new", 9), Priority::NeverVisited, NOW);
    assert_eq!(queue.start(NOW), Some(key("new", 9)));
    assert_eq!(queue.start(NOW), None);
}

#[test]
fn one_resource_takes_half_the_slots_only_while_others_wait() {
    let mut queue = queue(4, 0);
    for account in 0..10 {
        queue.request(key("big", account), Priority::SpecChanged, NOW);
    }
    queue.request(key("small", 50), Priority::NotReady, NOW);
    let started: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
    assert_eq!(started, ["big", "big", "small", "big"]);
}

#[test]
fn resources_of_one_priority_take_turns() {
    let mut queue = queue(6, 0);
    for account in 0..3 {
        queue.request(key("a", account), Priority::Poll, NOW);
        queue.request(key("b", 10 + account), Priority::Poll, NOW + Duration::ZERO);
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
    assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
}

#[test]
fn requests_merge_to_the_most_urgent_and_earliest() {
    let mut queue = queue(1, 0);
    queue.request(key("a", 1), Priority::Poll, NOW + Duration::from_secs(60));
    queue.request(key("a", 1), Priority::SpecChanged, NOW + Duration::from_secs(90));
    queue.request(key("b", 2), Priority::NotReady, NOW);
    assert_eq!(queue.next_due(NOW), Some(NOW + Duration::from_secs(60)));
    assert_eq!(queue.start(NOW + Duration::from_secs(60)), Some(key("a", 1)));
    queue.finish(&key("a", 1));
    queue.request(key("a", 1), Priority::Poll, NOW);
    assert!(queue.contains_as(&key("a", 1).resource, &key("a", 1).account, Priority::Poll));
    assert!(!queue.contains_as(&key("a", 1).resource, &key("a", 1).account, Priority::NotReady));
    queue.keep_only(&key("a", 1).resource, |_| false);
    assert!(!queue.contains(&key("a", 1).resource, &key("a", 1).account));
}

#[test]
fn a_poll_that_finds_no_slot_hides_no_later_visit() {
    let mut queue = queue(2, 1);
    queue.request(key("a", 1), Priority::Poll, NOW);
    queue.request(key("b", 2), Priority::Poll, NOW);
    assert_eq!(queue.start(NOW), Some(key("a", 1)));
    assert_eq!(queue.start(NOW), None);
    // The slot that polls may not take is free for it, and somebody has to wake up for that.
    let later = NOW + Duration::from_secs(5);
    queue.request(key("c", 3), Priority::NotReady, later);
    assert_eq!(queue.next_due(NOW), Some(later));
    assert_eq!(queue.start(later), Some(key("c", 3)));
}

#[derive(Debug, Clone)]
enum Step {
    Request(WorkKey, Priority, u64),
    Start,
    Finish(usize),
    Keep(Owner, u64),
    Forget(Owner),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Priority::{Deletion, NeverVisited, NotReady, Poll, SpecChanged};
    // Few resources and accounts, so that they meet.
    let keys = || (0..4_usize, 0..6_u64).prop_map(|(resource, account)| key(["a", "b", "c", "d"][resource], account));
    let priority = prop::sample::select(vec![Deletion, SpecChanged, NeverVisited, NotReady, Poll]);
    let step = prop_oneof![
        6 => (keys(), priority, 0..20_u64).prop_map(|(key, priority, due)| Step::Request(key, priority, due)),
        4 => Just(Step::Start),
        3 => any::<usize>().prop_map(Step::Finish),
        1 => (keys(), 0..6_u64).prop_map(|(key, kept)| Step::Keep(key.resource, kept)),
        1 => keys().prop_map(|key| Step::Forget(key.resource)),
        1 => (0..8_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn it_decides_as_the_simple_one(total in 1..7_usize, reserved in 0..3_usize, steps in steps()) {
        let slots = Slots { total, reserved: reserved.min(total - 1) };
        let (mut queue, mut simple) = (Queue::new(slots), SimpleQueue::new(slots));
        let mut now = NOW;
        let mut running: Vec<WorkKey> = Vec::new();
        for step in steps {
            match step {
                Step::Request(key, priority, due) => {
                    // Times that have passed are asked for as well.
                    let due = (now + Duration::from_secs(due)).saturating_sub(Duration::from_secs(10));
                    queue.request(key.clone(), priority, due);
                    simple.request(key, priority, due);
                }
                Step::Start => {
                    let started = queue.start(now);
                    prop_assert_eq!(&started, &simple.start(now));
                    running.extend(started);
                }
                Step::Finish(which) if !running.is_empty() => {
                    let key = running.swap_remove(which % running.len());
                    queue.finish(&key);
                    simple.finish(&key);
                }
                Step::Finish(_) => {}
                Step::Keep(resource, kept) => {
                    let keep = |account: &AccountId| account.as_str() < format!("{kept:012}").as_str();
                    queue.keep_only(&resource, keep);
                    simple.keep_only(&resource, keep);
                }
                Step::Forget(resource) => {
                    queue.forget(&resource);
                    simple.forget(&resource);
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            prop_assert_eq!(queue.next_due(now), simple.next_due(now));
            for key in ["a", "b", "c", "d"].iter().flat_map(|name| (0..6).map(|account| key(name, account))) {
                prop_assert_eq!(queue.contains(&key.resource, &key.account), simple.contains(&key));
            }
        }
    }

    #[test]
    fn nothing_is_left_of_what_is_forgotten(steps in steps()) {
        let mut queue = queue(3, 1);
        let mut running: Vec<WorkKey> = Vec::new();
        for step in steps {
            match step {
                Step::Request(key, priority, _) => queue.request(key, priority, NOW),
                Step::Start => running.extend(queue.start(NOW)),
                Step::Finish(_) => running.pop().iter().for_each(|key| queue.finish(key)),
                _ => {}
            }
        }
        for name in ["a", "b", "c", "d"] {
            queue.forget(&key(name, 1).resource);
        }
        for key in &running {
            queue.finish(key);
        }
        prop_assert!(queue.lanes.is_empty() && queue.later.is_empty() && queue.parked.is_empty());
        prop_assert!(queue.running.is_empty() && queue.fronts.iter().all(BTreeSet::is_empty));
    }
}
