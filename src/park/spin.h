/* Spinning before a sleep: a wait that ends soon is cheaper to watch than to sleep through.

       struct sp__spin spin = SP__SPIN;
       while (!ready() && sp__spin(&spin))
           continue;

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_SPIN_H
#define SP_PARK_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

/* The longest spin of one wait.  The one constant; README.md says how much of it is used. */
#define SP__SPIN_NANOSECONDS INT64_C(25000)

/* Nanoseconds that a spin may last: 0 with one CPU and while other processes want the CPUs, less than the constant when
   SPOOL_SPIN (microseconds) says so.  Atomic, relaxed: a guess. */
extern int64_t sp__spin_limit;

static inline bool sp__may_spin(void)
{
    return sp__load_relaxed(&sp__spin_limit) != 0; /* relaxed: a guess */
}

/* Spins of this thread in a row that ended in a sleep. */
extern _Thread_local unsigned sp__spins_in_vain;
enum { SP__SPIN_PATIENCE = 8 }; /* after so many it sleeps at once */
/* Is this the one of many that is tried all the same? */
bool sp__spin_probes(void);

static inline bool sp__spin_is_worth_it(void)
{
    return sp__spins_in_vain < SP__SPIN_PATIENCE || sp__spin_probes();
}

struct sp__spin {
    unsigned round; /* how often sp__spin was asked */
    bool insists;   /* set by the caller: spin briefly even when spins of this thread were in vain */
    int64_t until;  /* set when the short rounds are over */
    int64_t looked; /* when the clock was looked at last; 0: not yet */
};
#define SP__SPIN                                                                                                       \
    {                                                                                                                  \
        0, false, 0, 0                                                                                                 \
    }

/* Rounds of 1, 2, 4, ... pauses, before the clock is looked at. */
enum { SP__SHORT_ROUNDS = 6 };

bool sp__spin_on(struct sp__spin *spin);
/* The wait ended during the spin: long spins are of use to this thread. */
void sp__spin_paid(const struct sp__spin *spin);

/* Pass a moment.  False: time to sleep. */
static inline bool sp__spin(struct sp__spin *spin)
{
    if (spin->round >= SP__SHORT_ROUNDS || !sp__may_spin())
        return sp__spin_on(spin);
    if (spin->round == 0 && !spin->insists && !sp__spin_is_worth_it())
        return false;
    for (unsigned i = 0; i < 1u << spin->round; i++)
        sp__cpu_relax();
    spin->round++;
    return true;
}

/* Offer the CPU to other threads: by a yield, or by a short sleep while other processes want the CPUs, for then a yield
   takes as long as all their time slices. */
void sp__give_way(void);

/* Wait for a thread that is between two instructions and cannot tell when it is done: pause, then give way, then sleep for a
   moment, for it may have a lower priority than ours.  *round counts from 0. */
void sp__pass_moment(unsigned *round);

#endif
