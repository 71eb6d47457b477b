// The peers written in Go: `bench-go CONTESTANT MODE COUNT [EXTRA]`, as the programs in C.
//
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const capacity = 1024

func fail(what string) {
	fmt.Fprintln(os.Stderr, "bench:", what)
	os.Exit(1)
}

func check(holds bool, what string) {
	if !holds {
		fail(what)
	}
}

// What the process has used so far.
type usage struct {
	wall     time.Time
	cpu      float64
	switches int64
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

func now() usage {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil, "getrusage failed")
	return usage{time.Now(), seconds(used.Utime) + seconds(used.Stime), used.Nvcsw}
}

// A line of /proc/self/status in MB: "VmHWM:", the most memory so far, or "VmRSS:", what there is now.
func memory(name string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			return kib / 1024
		}
	}
	fail("no such line in /proc/self/status")
	return 0
}

// Print the result; value is made from the seconds that passed since begin, more is what the row wants besides.
func report(begin usage, unit string, ops uint64, value func(seconds float64) float64, more ...string) {
	end := now()
	wall := end.wall.Sub(begin.wall).Seconds()
	line := fmt.Sprintf("value=%.6f unit=%s cpu=%.4f ops=%d switches=%d rss_mb=%.2f", value(wall), unit, end.cpu-begin.cpu, ops,
		end.switches-begin.switches, memory("VmHWM:"))
	fmt.Println(strings.Join(append([]string{line}, more...), " "))
}

func pingpong(trips uint64, roundTrip func(), answer func()) {
	warming := trips / 10
	done := make(chan struct{})
	go func() {
		for i := uint64(0); i < trips+warming; i++ {
			answer()
		}
		close(done)
	}()
	for i := uint64(0); i < warming; i++ {
		roundTrip()
	}
	begin := now()
	for i := uint64(0); i < trips; i++ {
		roundTrip()
	}
	report(begin, "trips/s", trips, func(wall float64) float64 { return float64(trips) / wall })
	<-done
}

func pingpongChannels(trips uint64, size int) {
	ping, pong := make(chan struct{}, size), make(chan struct{}, size)
	pingpong(trips, func() { ping <- struct{}{}; <-pong }, func() { <-ping; pong <- struct{}{} })
}

func pingpongConditions(trips uint64) {
	var mutex sync.Mutex
	side := [2]*sync.Cond{sync.NewCond(&mutex), sync.NewCond(&mutex)}
	turn := 0
	handOver := func(me int) {
		turn = 1 - me
		side[turn].Signal()
	}
	await := func(me int) {
		for turn != me {
			side[me].Wait()
		}
	}
	pingpong(trips,
		func() { mutex.Lock(); handOver(0); await(0); mutex.Unlock() },
		func() { mutex.Lock(); await(1); handOver(1); mutex.Unlock() })
}

func queue(items uint64, pairs uint64) {
	check(pairs > 0, "how many pairs of goroutines?")
	each := items / pairs
	channel := make(chan uint64, capacity)
	sums := make([]uint64, pairs)
	var ready, ended sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(int(2 * pairs))
	ended.Add(int(2 * pairs))
	for k := uint64(0); k < pairs; k++ {
		go func() {
			ready.Done()
			<-gate
			for i := uint64(1); i <= each; i++ {
				channel <- i
			}
			ended.Done()
		}()
		go func(k uint64) {
			ready.Done()
			<-gate
			sum := uint64(0)
			for i := uint64(0); i < each; i++ {
				sum += <-channel
			}
			sums[k] = sum
			ended.Done()
		}(k)
	}
	ready.Wait()
	begin := now()
	close(gate)
	ended.Wait()
	sum := uint64(0)
	for _, part := range sums {
		sum += part
	}
	check(sum == pairs*(each*(each+1)/2), "the sum of the items is wrong")
	report(begin, "Mitems/s", each*pairs, func(wall float64) float64 { return float64(each*pairs) / wall / 1e6 })
}

func main() {
	check(len(os.Args) == 4 || len(os.Args) == 5, "usage: bench-go CONTESTANT MODE COUNT [EXTRA]")
	count, err := strconv.ParseUint(os.Args[3], 10, 64)
	check(err == nil && count > 0, "the count is not a number above 0")
	extra := uint64(0)
	if len(os.Args) == 5 {
		extra, err = strconv.ParseUint(os.Args[4], 10, 64)
		check(err == nil, "not a number")
	}
	switch os.Args[1] + " " + os.Args[2] {
	case "chan_1 pingpong":
		pingpongChannels(count, 1)
	case "chan_0 pingpong":
		pingpongChannels(count, 0)
	case "cond pingpong":
		pingpongConditions(count)
	case "chan bounded":
		queue(count, extra)
	case "workers throughput":
		newPool().throughput(count)
	case "workers latency":
		newPool().latency(count)
	case "goroutines fork":
		fork(count)
	case "goroutines chunks":
		chunks(count)
	case "goroutines works":
		works(count, int(extra))
	default:
		fail("no such contestant or mode")
	}
}
