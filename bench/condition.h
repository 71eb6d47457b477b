/* L4 with a turn variable: one mutex, a condition for each side, notified inside the lock.

   The contestant defines the types the_mutex and the_condition, and the_mutex_init(), the_mutex_lock(),
   the_mutex_unlock(), the_condition_init(), the_condition_wait(), the_condition_notify().

   SPDX-License-Identifier: MIT */
#ifndef BENCH_CONDITION_H
#define BENCH_CONDITION_H

#include "pingpong.h"

static struct {
    alignas(BENCH_LINE) the_mutex mutex;
    the_condition side[2];
    int turn;
} table;

static void wait_for_turn(int side)
{
    while (table.turn != side)
        the_condition_wait(&table.side[side], &table.mutex);
}

static void hand_over(int side)
{
    table.turn = 1 - side;
    the_condition_notify(&table.side[1 - side]);
}

static void round_trip(void)
{
    the_mutex_lock(&table.mutex);
    hand_over(0);
    wait_for_turn(0);
    the_mutex_unlock(&table.mutex);
}

static void answer(void)
{
    the_mutex_lock(&table.mutex);
    wait_for_turn(1);
    hand_over(1);
    the_mutex_unlock(&table.mutex);
}

int main(int argc, char **argv)
{
    the_mutex_init(&table.mutex);
    the_condition_init(&table.side[0]);
    the_condition_init(&table.side[1]);
    return pingpong(argc, argv);
}

#endif
