//! P3, P4; see fib.h, chunk.h and map.h.
//!
//! SPDX-License-Identifier: MIT

use crate::bench::{check, fail, print, work, Args, Clock};
use crate::pool::rayon_pool;
use rayon::prelude::*;

const WARMING: usize = 2;
const PASSES: usize = 10;
const CHUNKS: usize = 64;

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (first, second) = rayon::join(|| fib(n - 1), || fib(n - 2));
    first + second
}

fn fib_in_a_loop(n: u64) -> u64 {
    (0..n).fold((0, 1), |(this, next), _| (next, this + next)).0
}

pub fn rayon_join(args: &Args) {
    check(args.mode == "fork" && args.count >= 2 && args.count < 90, "fib of 2 to 89");
    let pool = rayon_pool();
    let check_fib = |n| check(pool.install(|| fib(n)) == fib_in_a_loop(n), "fib is wrong");
    check_fib(args.count.min(20));
    let begin = Clock::now();
    check_fib(args.count);
    let passed = begin.passed();
    print(passed.wall * 1e3, "ms", &passed, fib_in_a_loop(args.count + 1) - 1, "");
}

fn function(x: f64) -> f64 {
    x.sqrt() * 1.5
}

fn pass(input: &[f64], output: &mut [f64]) {
    let size = (input.len() + CHUNKS - 1) / CHUNKS;
    output.par_chunks_mut(size).zip(input.par_chunks(size)).for_each(|(out, chunk)| {
        for (y, x) in out.iter_mut().zip(chunk) {
            *y = function(*x);
        }
    });
}

fn chunks(count: u64) {
    let input: Vec<f64> = (0..count).map(|i| i as f64).collect();
    let mut output: Vec<f64> = vec![1.0; input.len()];
    (0..WARMING).for_each(|_| pass(&input, &mut output));
    let begin = Clock::now();
    (0..PASSES).for_each(|_| pass(&input, &mut output));
    let passed = begin.passed();
    check(input.iter().zip(&output).all(|(x, y)| *y == function(*x)), "the map is wrong");
    print(passed.wall * 1e3 / PASSES as f64, "ms", &passed, PASSES as u64, "");
}

fn works(count: u64, steps: u32) {
    let begin = Clock::now();
    let sum = (0..count).fold(0, |sum: u64, i| sum.wrapping_add(work(i, steps)));
    let serial = begin.passed().wall;
    let begin = Clock::now();
    let found = (0..count).into_par_iter().map(|i| work(i, steps)).reduce(|| 0, u64::wrapping_add);
    let passed = begin.passed();
    check(found == sum, "the sum of the results is wrong");
    print(100.0 * serial / (2.0 * passed.wall), "%", &passed, count, "");
}

pub fn rayon_map(args: &Args) {
    let pool = rayon_pool();
    match args.mode.as_str() {
        "chunks" => pool.install(|| chunks(args.count)),
        "works" => pool.install(|| works(args.count, args.extra as u32)),
        _ => fail("no such mode"),
    }
}
