/* What the models of both FIFOs have in common: producers put numbered items, getters take them, thread 0 closes.  Each item
   arrives once, in the order of its producer; empty is said only if it was true; nothing is put after the close.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_MODEL_QUEUE_SUITE_H
#define SP_TESTS_MODEL_QUEUE_SUITE_H

#include "observer.h"

#include "queue/tried.h"

enum { PRODUCER = 16 /* the item n of producer p is p * PRODUCER + n */ };

/* In all suites of the program. */
static struct {
    unsigned long empty, busy, closed_put, closed_get;
} queue_happened;

/* `suite` has try_put(item), try_get(&item), close_queue(), and check_put(thread, tried) for what else a put may say.
   `closes`: thread 0 does, at its end, and before each put in one of so many cases. */
template <class suite, int putters, int getters, int items, unsigned closes>
struct queue_suite : rl::test_suite<suite, putters + getters> {
    struct observer all;
    bool closed;                  /* by thread 0; its call has returned */
    int taken;                    /* by getters, or about to be */
    unsigned arrived[putters];    /* how many items of each producer were got by calls that have returned */
    unsigned highest[putters];    /* number of the last of them, from 1; 0: none yet */
    bool seen[putters][PRODUCER]; /* has it arrived? */

    suite *self()
    {
        return static_cast<suite *>(this);
    }

    void begin()
    {
        memset(&all, 0, sizeof all);
        memset(arrived, 0, sizeof arrived);
        memset(highest, 0, sizeof highest);
        memset(seen, 0, sizeof seen);
        closed = false;
        taken = 0;
    }

    enum sp__tried put(unsigned thread, unsigned item)
    {
        bool was_closed = closed;
        begin_call(&all, thread, true);
        enum sp__tried tried = self()->try_put(&item);
        end_call(&all, thread, tried == SP__TRY_DONE);
        /* one that has not heard of it may still say something else; but nothing is put */
        RL_ASSERT(!was_closed || tried != SP__TRY_DONE);
        RL_ASSERT(!was_closed || thread != 0 || tried == SP__TRY_CLOSED);
        self()->check_put(thread, tried);
        queue_happened.busy += tried == SP__TRY_BUSY;
        queue_happened.closed_put += tried == SP__TRY_CLOSED;
        return tried;
    }

    enum sp__tried get(unsigned thread)
    {
        unsigned item = 0, floor[putters];
        memcpy(floor, highest, sizeof floor);
        begin_call(&all, thread, false);
        enum sp__tried tried = self()->try_get(&item);
        end_call(&all, thread, tried == SP__TRY_DONE);
        if (tried == SP__TRY_DONE)
            arrives(item, floor);
        RL_ASSERT((tried != SP__TRY_NOT_NOW && tried != SP__TRY_CLOSED) || all.least[thread] <= 0);
        queue_happened.empty += tried == SP__TRY_NOT_NOW;
        queue_happened.busy += tried == SP__TRY_BUSY;
        queue_happened.closed_get += tried == SP__TRY_CLOSED;
        return tried;
    }

    /* Once; and after those of its producer that were got before this get began. */
    void arrives(unsigned item, const unsigned *floor)
    {
        unsigned producer = item / PRODUCER, number = item % PRODUCER;
        RL_ASSERT(producer < putters && number >= 1 && number <= items);
        RL_ASSERT(!seen[producer][number]);
        RL_ASSERT(number > floor[producer]);
        seen[producer][number] = true;
        arrived[producer]++;
        if (number > highest[producer])
            highest[producer] = number;
    }

    void close()
    {
        self()->close_queue();
        closed = true;
    }

    void put_all(unsigned thread)
    {
        for (unsigned number = 1; number <= items;) {
            if (closes > 0 && thread == 0 && rl::rand(closes) == 0)
                close();
            enum sp__tried tried = put(thread, thread * PRODUCER + number);
            if (tried == SP__TRY_CLOSED)
                return;
            if (tried == SP__TRY_DONE)
                number++;
            else
                rl::yield(1, RL_INFO);
        }
        if (closes > 0 && thread == 0)
            close();
    }

    void get_all(unsigned thread)
    {
        while (closes > 0 || taken < putters * items) {
            taken++;
            enum sp__tried tried = get(thread);
            if (tried == SP__TRY_CLOSED)
                return;
            if (tried != SP__TRY_DONE) {
                taken--;
                rl::yield(1, RL_INFO);
            }
        }
    }

    void all_have_arrived()
    {
        RL_ASSERT(all.puts_done == all.gets_done);
        for (int i = 0; i < putters; i++)
            RL_ASSERT(arrived[i] == highest[i] && (closes > 0 || arrived[i] == items));
    }
};

static bool queue_all_happened(const char *program)
{
    bool ok = model_happened(program, "empty", queue_happened.empty);
    ok = model_happened(program, "busy", queue_happened.busy) && ok;
    ok = model_happened(program, "a put found it closed", queue_happened.closed_put) && ok;
    return model_happened(program, "a get found it closed and empty", queue_happened.closed_get) && ok;
}

#endif
