//! L1, L2, L3; see lock.h.
//!
//! SPDX-License-Identifier: MIT

use crate::bench::{check, fail, print, second_thread, work, Args, Clock};
use parking_lot::ReentrantMutex;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Barrier;
use std::time::Duration;

const WORK_OUTSIDE: u32 = 31;

/// A counter in the cache line of its lock.
pub trait Counter: Default + Sync {
    fn count_one(&self);
    fn value(&self) -> u64;
    /// Run the function while the lock is held by this thread.
    fn held<F: FnOnce()>(&self, run: F);
}

#[derive(Default)]
#[repr(align(64))]
pub struct StdMutex(std::sync::Mutex<u64>);

impl Counter for StdMutex {
    #[inline(always)]
    fn count_one(&self) {
        *self.0.lock().unwrap() += 1;
    }
    fn value(&self) -> u64 {
        *self.0.lock().unwrap()
    }
    fn held<F: FnOnce()>(&self, _: F) {
        fail("not reentrant");
    }
}

#[derive(Default)]
#[repr(align(64))]
pub struct ParkingLotMutex(parking_lot::Mutex<u64>);

impl Counter for ParkingLotMutex {
    #[inline(always)]
    fn count_one(&self) {
        *self.0.lock() += 1;
    }
    fn value(&self) -> u64 {
        *self.0.lock()
    }
    fn held<F: FnOnce()>(&self, _: F) {
        fail("not reentrant");
    }
}

#[derive(Default)]
#[repr(align(64))]
pub struct ParkingLotReentrant(ReentrantMutex<Cell<u64>>);

impl Counter for ParkingLotReentrant {
    #[inline(always)]
    fn count_one(&self) {
        let counter = self.0.lock();
        counter.set(counter.get() + 1);
    }
    fn value(&self) -> u64 {
        self.0.lock().get()
    }
    fn held<F: FnOnce()>(&self, run: F) {
        let _guard = self.0.lock();
        run();
    }
}

fn uncontended<C: Counter>(counter: &C, pairs: u64) {
    let begin = Clock::now();
    for _ in 0..pairs {
        counter.count_one();
    }
    let passed = begin.passed();
    check(counter.value() == pairs, "the counter is wrong");
    print(passed.wall * 1e9 / pairs as f64, "ns/pair", &passed, pairs, "");
}

#[repr(align(64))]
struct Flag(AtomicBool);

fn contend<C: Counter>(counter: &C, gate: &Barrier, stop: &Flag, seed: u64) -> (u64, u64) {
    let (mut share, mut x) = (0, seed);
    gate.wait();
    while !stop.0.load(Ordering::Relaxed) {
        counter.count_one();
        share += 1;
        x = work(x, WORK_OUTSIDE);
    }
    (share, x)
}

fn contended<C: Counter>(counter: &C, milliseconds: u64, threads: u64) {
    check(threads > 0, "how many threads?");
    let (gate, stop) = (Barrier::new(threads as usize + 1), Flag(AtomicBool::new(false)));
    let (passed, shares) = std::thread::scope(|scope| {
        let (gate, stop) = (&gate, &stop);
        let workers: Vec<_> = (0..threads).map(|i| scope.spawn(move || contend(counter, gate, stop, i))).collect();
        gate.wait();
        let begin = Clock::now();
        std::thread::sleep(Duration::from_millis(milliseconds));
        stop.0.store(true, Ordering::Relaxed);
        let shares: Vec<u64> = workers.into_iter().map(|worker| worker.join().unwrap().0).collect();
        (begin.passed(), shares)
    });
    let pairs: u64 = shares.iter().sum();
    check(counter.value() == pairs, "the counter is not the sum of the shares");
    let fairness = *shares.iter().min().unwrap() as f64 / (*shares.iter().max().unwrap()).max(1) as f64;
    print(pairs as f64 / passed.wall / 1e6, "Mpairs/s", &passed, pairs, &format!(" fairness={:.3}", fairness));
}

pub fn run<C: Counter>(args: &Args) {
    let counter = C::default();
    second_thread();
    match args.mode.as_str() {
        "uncontended" => uncontended(&counter, args.count),
        "nested" => counter.held(|| uncontended(&counter, args.count)),
        "contended" => contended(&counter, args.count, args.extra),
        _ => fail("no such mode"),
    }
}
