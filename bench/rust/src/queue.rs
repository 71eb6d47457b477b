//! Q1, Q2; see queue.h.
//!
//! SPDX-License-Identifier: MIT

use crate::bench::{check, fail, print, Args, Clock};
use std::sync::mpsc;
use std::sync::Barrier;
use std::thread::ScopedJoinHandle;

const CAPACITY: usize = 1024;

fn produce(gate: &Barrier, items: u64, put: impl Fn(u64)) -> u64 {
    gate.wait();
    (1..=items).for_each(put);
    0
}

fn consume(gate: &Barrier, items: u64, get: impl Fn() -> u64) -> u64 {
    gate.wait();
    (0..items).map(|_| get()).sum()
}

/// Open the gate, wait for the workers, check the sum of what they got, print.
fn measure(gate: &Barrier, workers: Vec<ScopedJoinHandle<u64>>, items_each: u64) {
    gate.wait();
    let begin = Clock::now();
    let pairs = workers.len() as u64 / 2;
    let sum: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    let passed = begin.passed();
    check(sum == pairs * (items_each * (items_each + 1) / 2), "the sum of the items is wrong");
    let items = items_each * pairs;
    print(items as f64 / passed.wall / 1e6, "Mitems/s", &passed, items, "");
}

pub fn crossbeam(args: &Args) {
    let (sender, receiver) = match args.mode.as_str() {
        "bounded" => crossbeam_channel::bounded::<u64>(CAPACITY),
        "unbounded" => crossbeam_channel::unbounded(),
        _ => fail("no such mode"),
    };
    let pairs = args.extra;
    check(pairs > 0, "how many pairs of threads?");
    let items = args.count / pairs;
    let gate = Barrier::new(2 * pairs as usize + 1);
    std::thread::scope(|scope| {
        let (gate, sender, receiver) = (&gate, &sender, &receiver);
        let mut workers = Vec::new();
        for _ in 0..pairs {
            workers.push(scope.spawn(move || produce(gate, items, |item| sender.send(item).unwrap())));
            workers.push(scope.spawn(move || consume(gate, items, || receiver.recv().unwrap())));
        }
        measure(gate, workers, items);
    });
}

/// The channel of the standard library has one consumer.
pub fn mpsc(args: &Args) {
    check(args.mode == "unbounded" && args.extra == 1, "std::sync::mpsc is measured without bound, 1:1");
    let (sender, receiver) = mpsc::channel::<u64>();
    let items = args.count;
    let gate = &Barrier::new(3);
    std::thread::scope(|scope| {
        let workers = vec![
            scope.spawn(move || produce(gate, items, |item| sender.send(item).unwrap())),
            scope.spawn(move || consume(gate, items, || receiver.recv().unwrap())),
        ];
        measure(gate, workers, items);
    });
}
