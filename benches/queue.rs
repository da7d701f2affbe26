//! The queue of account passes with much that waits: what it takes to start a pass, and what a reconcile asks.

// Names and numbers that are known to be valid.
#![allow(clippy::expect_used)]

use std::{collections::VecDeque, hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use port_aws_operator::{
    domain::Owner,
    schedule::{Priority, Queue, Slots, WorkKey},
};

const SLOTS: Slots = Slots { total: 32, reserved: 4 };
const NOW: Duration = Duration::from_secs(1000);
const INTERVAL: Duration = Duration::from_secs(1800);
/// Resources, and accounts of each.
const SHAPES: [(usize, usize); 5] = [(1, 2000), (1000, 1), (1, 50_000), (500, 100), (50_000, 1)];

fn owner(resource: usize) -> Owner {
    Owner { namespace: "platform".to_owned(), name: format!("integration-{resource:05}") }
}

/// A queue in which everything waits for its check, due at `NOW`.
fn filled(resources: usize, accounts: usize) -> Queue {
    let mut queue = Queue::new(SLOTS);
    for number in 0..resources * accounts {
        let account = format!("{number:012}").parse().expect("an account ID");
        queue.request(WorkKey { resource: owner(number / accounts), account }, Priority::Poll, NOW);
    }
    queue
}

/// One pass ends, is asked for again, and the next one starts, with everything else due.
fn passes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end a pass and start the next");
    for (resources, accounts) in SHAPES {
        let name = format!("{resources} resources of {accounts} accounts");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut queue = filled(resources, accounts);
            let mut running: VecDeque<WorkKey> = std::iter::from_fn(|| queue.start(NOW)).collect();
            bencher.iter(|| {
                let ended = running.pop_front().expect("a pass that runs");
                // Due at once, so that there is always as much to do.
                queue.request(ended.clone(), Priority::Poll, NOW);
                queue.finish(&ended);
                running.extend(queue.start(NOW));
                black_box(queue.next_due(NOW));
            });
        });
    }
    group.finish();
}

/// What a reconcile of a resource asks: nothing to forget, and whether each account is asked for.
fn reconciles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look over a resource");
    for (resources, accounts) in SHAPES {
        let name = format!("{resources} resources of {accounts} accounts");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut queue = filled(resources, accounts);
            let resource = owner(0);
            let ids: Vec<_> =
                (0..accounts).map(|number| format!("{number:012}").parse().expect("an account ID")).collect();
            bencher.iter(|| {
                queue.keep_only(&resource, |_| true);
                black_box(ids.iter().filter(|id| queue.contains(&resource, id)).count())
            });
        });
    }
    group.finish();
}

/// Nothing is due: what the runner asks whenever it wakes up.
fn idle(criterion: &mut Criterion) {
    let mut queue = Queue::new(SLOTS);
    for number in 0..50_000_u32 {
        let account = format!("{number:012}").parse().expect("an account ID");
        queue.request(WorkKey { resource: owner(0), account }, Priority::Poll, NOW + INTERVAL * (number + 1) / 50_000);
    }
    criterion.bench_function("wake up with 50,000 accounts that are not due", |bencher| {
        bencher.iter(|| black_box((queue.start(NOW), queue.next_due(NOW))));
    });
}

criterion_group!(benches, passes, reconciles, idle);
criterion_main!(benches);
