/* What an observer of all puts and gets knows of a queue: how many items there may have been, and must have been, in each call.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_MODEL_OBSERVER_H
#define SP_TESTS_MODEL_OBSERVER_H

#include "model.h"

enum { MOST_THREADS = 4 };

static bool putting[MOST_THREADS]; /* what a thread does just now, to tell the orders of put from those of get */

/* What an observer of all calls knows, in the order in which they happen.  A try that cannot be done counts as begun while
   it lasts, so that the bounds hold whatever it will say. */
struct observer {
    int puts_begun, puts_done, gets_begun, gets_done;
    bool calling[MOST_THREADS];
    int most[MOST_THREADS];  /* items that there may have been at a moment of the call, but for its own */
    int least[MOST_THREADS]; /* items that there must have been at each moment of the call, but for its own */
};

static void observe(struct observer *all)
{
    for (int i = 0; i < MOST_THREADS; i++) {
        if (!all->calling[i])
            continue;
        int most = all->puts_begun - putting[i] - all->gets_done;
        int least = all->puts_done - (all->gets_begun - !putting[i]);
        if (most > all->most[i])
            all->most[i] = most;
        if (least < all->least[i])
            all->least[i] = least;
    }
}

static void begin_call(struct observer *all, unsigned thread, bool put)
{
    putting[thread] = put;
    all->calling[thread] = true;
    all->most[thread] = -1000;
    all->least[thread] = 1000;
    *(put ? &all->puts_begun : &all->gets_begun) += 1;
    observe(all);
}

static void end_call(struct observer *all, unsigned thread, bool done)
{
    bool put = putting[thread];
    if (done)
        *(put ? &all->puts_done : &all->gets_done) += 1;
    else
        *(put ? &all->puts_begun : &all->gets_begun) -= 1;
    all->calling[thread] = false;
    observe(all);
}

#endif
