/* How long to spin; see spin.h and README.md.

   SPDX-License-Identifier: MIT */
#include "park/spin.h"

#include <stdlib.h>

#include "os/os.h"

int64_t sp__spin_limit;

enum {
    PATIENCE = 8, /* so many spins in vain, and the thread spins briefly */
    PROBE = 16,   /* every so often it tries a long one again */
    BRIEF = 2000, /* nanoseconds */
    PAUSES = 32   /* between two looks at the clock, about a microsecond */
};

static _Thread_local unsigned in_vain; /* spins in a row that ended in a sleep */
static _Thread_local unsigned spins;

__attribute__((constructor)) static void set_limit(void)
{
    const char *text = getenv("SPOOL_SPIN");
    double microseconds = text != NULL ? strtod(text, NULL) : SP__SPIN_NANOSECONDS / 1e3;
    if (sp__os_affinity_cpus() == 1 || !(microseconds > 0))
        sp__spin_limit = 0;
    else
        sp__spin_limit = microseconds * 1e3 < SP__SPIN_NANOSECONDS ? (int64_t)(microseconds * 1e3)
                                                                   : SP__SPIN_NANOSECONDS;
}

static int64_t allowed(void)
{
    bool brief = in_vain >= PATIENCE && ++spins % PROBE != 0 && sp__spin_limit > BRIEF;
    return brief ? BRIEF : sp__spin_limit;
}

bool sp__spin_on(struct sp__spin *spin)
{
    if (sp__spin_limit == 0)
        return false;
    int64_t now = sp__os_now();
    if (spin->until == 0) {
        spin->until = now + allowed();
        in_vain++; /* until a next spin finds that this one was of use */
    } else if (now >= spin->until) {
        return false;
    }
    spin->round++;
    sp__os_yield(); /* whom we wait for may want this very CPU */
    for (unsigned i = 0; i < PAUSES; i++)
        sp__cpu_relax();
    return true;
}

void sp__spin_paid(const struct sp__spin *spin)
{
    if (spin->round > 0)
        in_vain = 0;
}

enum { MOMENTS_TO_PAUSE = 64, MOMENTS_TO_YIELD = 256 };

void sp__pass_moment(unsigned *round)
{
    if (*round < MOMENTS_TO_PAUSE) {
        sp__cpu_relax();
    } else if (*round < MOMENTS_TO_YIELD) {
        sp__os_yield();
    } else {
        uint32_t nobody_wakes = 0;
        sp__os_futex_wait(&nobody_wakes, 0, sp__os_now() + SP__SPIN_NANOSECONDS);
        return;
    }
    ++*round;
}
