//! L4; see pingpong.h.
//!
//! SPDX-License-Identifier: MIT

use crate::bench::{check, print, Args, Clock};
use crossbeam_channel::bounded;

fn pingpong<R: FnMut(), A: FnMut() + Send>(args: &Args, mut round_trip: R, mut answer: A) {
    check(args.mode == "pingpong", "no such mode");
    let warming = args.count / 10;
    let all = args.count + warming;
    let passed = std::thread::scope(|scope| {
        scope.spawn(move || (0..all).for_each(|_| answer()));
        (0..warming).for_each(|_| round_trip());
        let begin = Clock::now();
        (0..args.count).for_each(|_| round_trip());
        begin.passed()
    });
    print(args.count as f64 / passed.wall, "trips/s", &passed, args.count, "");
}

/// Two channels: of capacity 1 a semaphore each, of capacity 0 a rendezvous.
pub fn channel(args: &Args, capacity: usize) {
    let (ping, pinged) = bounded::<()>(capacity);
    let (pong, ponged) = bounded::<()>(capacity);
    pingpong(
        args,
        || {
            ping.send(()).unwrap();
            ponged.recv().unwrap();
        },
        || {
            pinged.recv().unwrap();
            pong.send(()).unwrap();
        },
    );
}

/// A turn variable, a mutex, a condition for each side.
pub trait Table: Default + Sync {
    fn round_trip(&self);
    fn answer(&self);
}

#[derive(Default)]
pub struct StdTable {
    turn: std::sync::Mutex<usize>,
    side: [std::sync::Condvar; 2],
}

impl Table for StdTable {
    fn round_trip(&self) {
        let mut turn = self.turn.lock().unwrap();
        *turn = 1;
        self.side[1].notify_one();
        while *turn != 0 {
            turn = self.side[0].wait(turn).unwrap();
        }
    }
    fn answer(&self) {
        let mut turn = self.turn.lock().unwrap();
        while *turn != 1 {
            turn = self.side[1].wait(turn).unwrap();
        }
        *turn = 0;
        self.side[0].notify_one();
    }
}

#[derive(Default)]
pub struct ParkingLotTable {
    turn: parking_lot::Mutex<usize>,
    side: [parking_lot::Condvar; 2],
}

impl Table for ParkingLotTable {
    fn round_trip(&self) {
        let mut turn = self.turn.lock();
        *turn = 1;
        self.side[1].notify_one();
        while *turn != 0 {
            self.side[0].wait(&mut turn);
        }
    }
    fn answer(&self) {
        let mut turn = self.turn.lock();
        while *turn != 1 {
            self.side[1].wait(&mut turn);
        }
        *turn = 0;
        self.side[0].notify_one();
    }
}

pub fn table<T: Table>(args: &Args) {
    let table = T::default();
    pingpong(args, || table.round_trip(), || table.answer());
}
