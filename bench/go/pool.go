// P1, P2; see pool.h.  Which thread a goroutine runs in is Go's business, so nothing is said about the submitter's.
//
// SPDX-License-Identifier: MIT
package main

import "fmt"

const workers = 2

// Two goroutines that run what comes through a channel, as one writes it by hand.
type pool chan func()

func newPool() pool {
	tasks := make(pool, capacity)
	for i := 0; i < workers; i++ {
		go func() {
			for run := range tasks {
				run()
			}
		}()
	}
	return tasks
}

// The handle is a channel for the one result.
func (tasks pool) submit(i uint64) chan uint64 {
	result := make(chan uint64, 1)
	tasks <- func() { result <- i }
	return result
}

func (tasks pool) throughput(count uint64) {
	handles := make([]chan uint64, count)
	for i := range handles {
		handles[i] = nil // what the array costs has been paid for
	}
	before := memory("VmRSS:")
	begin := now()
	for i := range handles {
		handles[i] = tasks.submit(uint64(i))
	}
	sum := uint64(0)
	for i, handle := range handles {
		sum += <-handle
		handles[i] = nil
	}
	check(sum == count*(count-1)/2, "the sum of the results is wrong")
	bytes := (memory("VmHWM:") - before) * 1024 * 1024 / float64(count)
	report(begin, "Mtasks/s", count, func(wall float64) float64 { return float64(count) / wall / 1e6 },
		fmt.Sprintf("bytes=%.1f", bytes))
}

func (tasks pool) roundTrips(count uint64) {
	for i := uint64(0); i < count; i++ {
		check(<-tasks.submit(i) == i, "the result is wrong")
	}
}

func (tasks pool) latency(count uint64) {
	tasks.roundTrips(count / 10)
	begin := now()
	tasks.roundTrips(count)
	report(begin, "us/trip", count, func(wall float64) float64 { return wall * 1e6 / float64(count) })
}
