//! P1, P2; see task.h and pool.h.
//!
//! SPDX-License-Identifier: MIT

use crate::bench::{bytes_each, check, fail, memory, print, Args, Clock, WORKERS};
use crossbeam_channel::{bounded, unbounded, Receiver, Sender};
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

static SUBMITTER: AtomicU64 = AtomicU64::new(0);
static RAN_THERE: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicBool = AtomicBool::new(false);
static GATE: Mutex<()> = Mutex::new(());

fn this_thread() -> u64 {
    unsafe { libc::pthread_self() as u64 }
}

#[inline(always)]
fn task(i: u64) -> u64 {
    if this_thread() == SUBMITTER.load(Ordering::Relaxed) {
        RAN_THERE.fetch_add(1, Ordering::Relaxed);
    }
    if HELD.load(Ordering::Relaxed) {
        drop(GATE.lock().unwrap());
    }
    i
}

fn check_sum(sum: u64, count: u64) {
    check(sum == count * (count - 1) / 2, "the sum of the results is wrong");
}

pub trait Pool {
    fn new() -> Self;
    fn spawn<F: FnOnce() + Send + 'static>(&self, run: F);

    /// The handle is a channel for the one result.
    fn submit(&self, i: u64) -> Receiver<u64> {
        let (sender, receiver) = bounded(1);
        self.spawn(move || sender.send(task(i)).unwrap());
        receiver
    }
}

/// Threads that take tasks from a channel, as one writes it by hand.
pub struct Crossbeam(Sender<Box<dyn FnOnce() + Send>>);

impl Pool for Crossbeam {
    fn new() -> Self {
        let (sender, receiver) = unbounded::<Box<dyn FnOnce() + Send>>();
        for _ in 0..WORKERS {
            let receiver = receiver.clone();
            std::thread::spawn(move || receiver.iter().for_each(|run| run()));
        }
        Crossbeam(sender)
    }
    fn spawn<F: FnOnce() + Send + 'static>(&self, run: F) {
        self.0.send(Box::new(run)).unwrap();
    }
}

pub fn rayon_pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap()
}

impl Pool for ThreadPool {
    fn new() -> Self {
        rayon_pool()
    }
    fn spawn<F: FnOnce() + Send + 'static>(&self, run: F) {
        ThreadPool::spawn(self, run);
    }
}

fn submit_all<P: Pool>(pool: &P, handles: &mut Vec<Option<Receiver<u64>>>) {
    for (i, handle) in handles.iter_mut().enumerate() {
        *handle = Some(pool.submit(i as u64));
    }
}

fn take_all(handles: &mut Vec<Option<Receiver<u64>>>) {
    let sum = handles.iter_mut().map(|handle| handle.take().unwrap().recv().unwrap()).sum();
    check_sum(sum, handles.len() as u64);
}

/// Places for handles, written to.
fn places(count: u64) -> Vec<Option<Receiver<u64>>> {
    (0..count).map(|_| None).collect()
}

fn print_throughput(begin: Clock, before: f64, count: u64) {
    let passed = begin.passed();
    let bytes = format!(" bytes={:.1}", bytes_each(before, count));
    print(count as f64 / passed.wall / 1e6, "Mtasks/s", &passed, count, &bytes);
}

fn throughput<P: Pool>(pool: &P, count: u64) {
    let mut handles = places(count);
    let before = memory("VmRSS:");
    let begin = Clock::now();
    submit_all(pool, &mut handles);
    take_all(&mut handles);
    print_throughput(begin, before, count);
}

fn pending<P: Pool>(pool: &P, count: u64) {
    let mut handles = places(count);
    let before = memory("VmRSS:");
    HELD.store(true, Ordering::Relaxed);
    let gate = GATE.lock().unwrap();
    let begin = Clock::now();
    submit_all(pool, &mut handles);
    drop(gate);
    take_all(&mut handles);
    print(bytes_each(before, count), "bytes", &begin.passed(), count, "");
}

fn round_trips<T: Fn(u64) -> u64>(trip: &T, count: u64) {
    (0..count).for_each(|i| check(trip(i) == i, "the result is wrong"));
}

fn latency<T: Fn(u64) -> u64>(trip: &T, count: u64) {
    round_trips(trip, count / 10);
    let begin = Clock::now();
    round_trips(trip, count);
    let passed = begin.passed();
    print(passed.wall * 1e6 / count as f64, "us/trip", &passed, count, "");
}

fn after_idle<T: Fn(u64) -> u64>(trip: &T, count: u64, milliseconds: u64) {
    round_trips(trip, 10);
    let begin = Clock::now();
    let mut wall = 0.0;
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(milliseconds));
        let from = Clock::now();
        round_trips(trip, 1);
        wall += from.passed().wall;
    }
    print(wall * 1e6 / count as f64, "us/trip", &begin.passed(), count, "");
}

fn waiting<T: Fn(u64) -> u64>(trip: T, args: &Args) {
    match args.mode.as_str() {
        "latency" => latency(&trip, args.count),
        "after_idle" => after_idle(&trip, args.count, args.extra),
        _ => fail("no such mode"),
    }
}

/// Run a mode from this thread, and see to it that no task runs there.
fn submitting<F: FnOnce()>(run: F) {
    SUBMITTER.store(this_thread(), Ordering::Relaxed);
    run();
    check(RAN_THERE.load(Ordering::Relaxed) == 0, "the submitter's thread ran tasks");
}

pub fn run<P: Pool>(args: &Args) {
    let pool = P::new();
    submitting(|| match args.mode.as_str() {
        "throughput" => throughput(&pool, args.count),
        "pending" => pending(&pool, args.count),
        _ => waiting(|i| pool.submit(i).recv().unwrap(), args),
    });
}

/// What rayon has for one task and its result.
pub fn rayon_install(args: &Args) {
    let pool = rayon_pool();
    submitting(|| waiting(|i| pool.install(|| task(i)), args));
}

fn fill<'scope>(scope: &Scope<'scope>, slots: &'scope [AtomicU64]) {
    for (i, slot) in slots.iter().enumerate() {
        scope.spawn(move |_| slot.store(task(i as u64), Ordering::Relaxed));
    }
}

/// No handles: results go to slots, and the end of the scope is one wait for all.
fn scope_throughput<F: FnOnce(&[AtomicU64])>(args: &Args, fill_slots: F) {
    check(args.mode == "throughput", "no such mode");
    let slots: Vec<AtomicU64> = (0..args.count).map(|_| AtomicU64::new(u64::MAX)).collect();
    let before = memory("VmRSS:");
    let begin = Clock::now();
    fill_slots(&slots);
    check_sum(slots.iter().map(|slot| slot.load(Ordering::Relaxed)).sum(), args.count);
    print_throughput(begin, before, args.count);
}

/// The scope is opened by a thread that is none of the pool's, and stays there.
pub fn rayon_in_place_scope(args: &Args) {
    let pool = rayon_pool();
    submitting(|| scope_throughput(args, |slots| pool.in_place_scope(|scope| fill(scope, slots))));
}

/// The scope is a task of the pool: the thread that submits is one of the two, and runs tasks when it waits.
pub fn rayon_scope(args: &Args) {
    let pool = rayon_pool();
    scope_throughput(args, |slots| pool.scope(|scope| fill(scope, slots)));
}
