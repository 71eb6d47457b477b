/* L4 with a signal for each side: a semaphore, or an event that is cleared after the wait.

   The contestant defines the type the_signal and the_signal_init(), the_signal_give(), the_signal_take().

   SPDX-License-Identifier: MIT */
#ifndef BENCH_SIGNAL_H
#define BENCH_SIGNAL_H

#include "pingpong.h"

static struct {
    alignas(BENCH_LINE) the_signal signal;
} ping, pong;

static void round_trip(void)
{
    the_signal_give(&ping.signal);
    the_signal_take(&pong.signal);
}

static void answer(void)
{
    the_signal_take(&ping.signal);
    the_signal_give(&pong.signal);
}

int main(int argc, char **argv)
{
    the_signal_init(&ping.signal);
    the_signal_init(&pong.signal);
    return pingpong(argc, argv);
}

#endif
