//! The peers written in Rust: `bench-rust CONTESTANT MODE COUNT [EXTRA]`, as the programs in C.
//!
//! SPDX-License-Identifier: MIT

mod bench;
mod fork;
mod lock;
mod pingpong;
mod pool;
mod queue;

use bench::{fail, Args};

fn number(text: Option<&String>) -> u64 {
    match text {
        None => 0,
        Some(text) => text.parse().unwrap_or_else(|_| fail("not a number")),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.len() < 3 || words.len() > 4 {
        fail("usage: bench-rust CONTESTANT MODE COUNT [EXTRA]");
    }
    let args = Args { mode: words[1].clone(), count: number(words.get(2)), extra: number(words.get(3)) };
    match words[0].as_str() {
        "std_mutex" => lock::run::<lock::StdMutex>(&args),
        "parking_lot_mutex" => lock::run::<lock::ParkingLotMutex>(&args),
        "parking_lot_reentrant" => lock::run::<lock::ParkingLotReentrant>(&args),
        "crossbeam_bounded_1" => pingpong::channel(&args, 1),
        "crossbeam_bounded_0" => pingpong::channel(&args, 0),
        "std_condvar" => pingpong::table::<pingpong::StdTable>(&args),
        "parking_lot_condvar" => pingpong::table::<pingpong::ParkingLotTable>(&args),
        "crossbeam_queue" => queue::crossbeam(&args),
        "std_mpsc" => queue::mpsc(&args),
        "crossbeam_pool" => pool::run::<pool::Crossbeam>(&args),
        "rayon_spawn" => pool::run::<rayon::ThreadPool>(&args),
        "rayon_install" => pool::rayon_install(&args),
        "rayon_in_place_scope" => pool::rayon_in_place_scope(&args),
        "rayon_scope" => pool::rayon_scope(&args),
        "rayon_join" => fork::rayon_join(&args),
        "rayon_map" => fork::rayon_map(&args),
        _ => fail("no such contestant"),
    }
}
