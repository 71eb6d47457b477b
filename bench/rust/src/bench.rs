//! What bench.h is in C: clocks, work, the line that is printed.
//!
//! SPDX-License-Identifier: MIT

use std::time::Instant;

/// Threads of a pool.
pub const WORKERS: usize = 2;

pub struct Args {
    pub mode: String,
    pub count: u64,
    pub extra: u64,
}

pub fn fail(what: &str) -> ! {
    eprintln!("bench: {}", what);
    std::process::exit(1)
}

pub fn check(holds: bool, what: &str) {
    if !holds {
        fail(what);
    }
}

/// What the process has used so far.
pub struct Clock {
    wall: Instant,
    cpu: f64,
    switches: i64,
}

/// What it used between two moments.
pub struct Passed {
    pub wall: f64,
    cpu: f64,
    switches: i64,
}

impl Clock {
    pub fn now() -> Clock {
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Clock { wall: Instant::now(), cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime), switches: usage.ru_nvcsw }
    }

    pub fn passed(&self) -> Passed {
        let now = Clock::now();
        Passed {
            wall: now.wall.duration_since(self.wall).as_secs_f64(),
            cpu: now.cpu - self.cpu,
            switches: now.switches - self.switches,
        }
    }
}

/// A line of /proc/self/status in MB: "VmHWM:", the most memory so far, or "VmRSS:", what there is now.
pub fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or_else(|| fail("no such line in /proc/self/status")) / 1024.0
}

/// Bytes for each of n, by which the peak is above what the process had before.
pub fn bytes_each(mb_before: f64, n: u64) -> f64 {
    (memory("VmHWM:") - mb_before) * 1024.0 * 1024.0 / n as f64
}

pub fn print(value: f64, unit: &str, passed: &Passed, ops: u64, more: &str) {
    println!(
        "value={:.6} unit={} cpu={:.4} ops={} switches={} rss_mb={:.2}{}",
        value,
        unit,
        passed.cpu,
        ops,
        passed.switches,
        memory("VmHWM:"),
        more
    );
}

/// A second thread, asleep, as for the programs in C.
pub fn second_thread() {
    std::thread::spawn(|| loop {
        std::thread::park();
    });
}

/// The steps of bench_work() in bench.h.
#[inline(always)]
pub fn work(mut x: u64, n: u32) -> u64 {
    for _ in 0..n {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    }
    x
}
