// P3, P4; see fib.h, chunk.h and map.h.
//
// SPDX-License-Identifier: MIT
package main

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	warming = 2
	passes  = 10
	pieces  = 64
)

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	var first uint64
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		first = fib(n - 1)
		done.Done()
	}()
	second := fib(n - 2)
	done.Wait()
	return first + second
}

func fibInALoop(n uint64) uint64 {
	this, next := uint64(0), uint64(1)
	for i := uint64(0); i < n; i++ {
		this, next = next, this+next
	}
	return this
}

func checkFib(n uint64) { check(fib(n) == fibInALoop(n), "fib is wrong") }

func fork(n uint64) {
	check(n >= 2 && n < 90, "fib of 2 to 89")
	runtime.GOMAXPROCS(workers)
	if n < 20 {
		checkFib(n)
	} else {
		checkFib(20)
	}
	begin := now()
	checkFib(n)
	report(begin, "ms", fibInALoop(n+1)-1, func(wall float64) float64 { return wall * 1e3 })
}

// Two goroutines that take numbers from 0 to n - 1 in turn; the sum of what run returned.
func forEach(n uint64, run func(uint64) uint64) uint64 {
	var next, sum atomic.Uint64
	var done sync.WaitGroup
	done.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			for k := next.Add(1) - 1; k < n; k = next.Add(1) - 1 {
				sum.Add(run(k))
			}
			done.Done()
		}()
	}
	done.Wait()
	return sum.Load()
}

func function(x float64) float64 { return math.Sqrt(x) * 1.5 }

func chunks(count uint64) {
	in, out := make([]float64, count), make([]float64, count)
	for i := range in {
		in[i], out[i] = float64(i), 1
	}
	chunk := func(k uint64) uint64 {
		begin, end := count*k/pieces, count*(k+1)/pieces
		from, to := in[begin:end], out[begin:end]
		for i, x := range from {
			to[i] = function(x)
		}
		return 0
	}
	for i := 0; i < warming; i++ {
		forEach(pieces, chunk)
	}
	begin := now()
	for i := 0; i < passes; i++ {
		forEach(pieces, chunk)
	}
	report(begin, "ms", passes, func(wall float64) float64 { return wall * 1e3 / passes })
	for i, x := range in {
		check(out[i] == function(x), "the map is wrong")
	}
}

// The steps of bench_work() in bench.h.
func work(x uint64, steps int) uint64 {
	for i := 0; i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

func works(count uint64, steps int) {
	begin := now()
	sum := uint64(0)
	for i := uint64(0); i < count; i++ {
		sum += work(i, steps)
	}
	serial := now().wall.Sub(begin.wall).Seconds()
	begin = now()
	found := forEach(count, func(i uint64) uint64 { return work(i, steps) })
	check(found == sum, "the sum of the results is wrong")
	report(begin, "%", count, func(wall float64) float64 { return 100 * serial / (2 * wall) })
}
