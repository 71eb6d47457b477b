/* How long to spin; see spin.h and README.md.

   SPDX-License-Identifier: MIT */
#include "park/spin.h"

#include <stdlib.h>

#include "base/atomic.h"
#include "os/os.h"

int64_t sp__spin_limit;

/* No yield in the spin: beside other processes it costs the time slices of all of them. */
enum {
    PROBE = 64,   /* of so many waits of a thread whose spins were in vain one spins */
    BRIEF = 2000, /* nanoseconds; of a spin that insists, after some in vain */
    PAUSES = 32,  /* between two looks at the clock, about a microsecond */
    /* Nanoseconds between two looks that say "this thread lost its CPU to another process".  Interrupts and the host of a
       virtual machine take less; a time slice is longer. */
    GAP = 250000,
    SHORTEST_REST = 20000000, /* nanoseconds */
    LONGEST_REST = 1000000000,
    MOMENT = 50000 /* nanoseconds */
};

/* A guess shared by all threads, relaxed throughout: who reads an old value spins once too often, or once too little. */
static int64_t configured; /* atomic, set before main: the limit while nobody else wants the CPUs */
static int64_t rest_until; /* atomic: until then no thread spins or yields */
static int64_t rest;       /* atomic: length of the last rest; 0: there was none */

_Thread_local unsigned sp__spins_in_vain;
static _Thread_local unsigned waits; /* while spins are in vain */

__attribute__((constructor)) static void set_limit(void)
{
    const char *text = getenv("SPOOL_SPIN");
    double microseconds = text != NULL ? strtod(text, NULL) : SP__SPIN_NANOSECONDS / 1e3;
    int64_t limit = microseconds * 1e3 < SP__SPIN_NANOSECONDS ? (int64_t)(microseconds * 1e3) : SP__SPIN_NANOSECONDS;
    if (sp__os_affinity_cpus() == 1 || !(microseconds > 0))
        limit = 0;
    sp__store_relaxed(&configured, limit); /* relaxed: a guess, both; another constructor's threads may run already */
    sp__store_relaxed(&sp__spin_limit, limit);
}

static bool resting(int64_t now)
{
    return now < sp__load_relaxed(&rest_until); /* relaxed: a guess */
}

/* Other processes want the CPUs.  Spinning and yielding wait until they have had their turn; the rest gets longer each time
   that they are found soon after the last one. */
static void take_a_rest(int64_t now)
{
    int64_t last = sp__load_relaxed(&rest), since = now - sp__load_relaxed(&rest_until); /* relaxed: a guess */
    if (since < 0)
        return; /* another thread has found out */
    int64_t next = last == 0 || since > 4 * last ? SHORTEST_REST : 2 * last;
    if (next > LONGEST_REST)
        next = LONGEST_REST;
    sp__store_relaxed(&rest, next); /* relaxed: a guess, all three */
    sp__store_relaxed(&rest_until, now + next);
    sp__store_relaxed(&sp__spin_limit, 0);
}

static void look_for_gap(int64_t before, int64_t now)
{
    if (now - before > GAP)
        take_a_rest(now);
}

bool sp__spin_probes(void)
{
    return ++waits % PROBE == 0;
}

/* How long a spin may last whose first look at the clock this is; ends a rest that is over. */
static int64_t allowed(const struct sp__spin *spin, int64_t now)
{
    if (resting(now))
        return 0;
    int64_t most = sp__load_relaxed(&configured); /* relaxed: set before */
    if (!sp__may_spin())
        sp__store_relaxed(&sp__spin_limit, most);       /* relaxed: a guess */
    bool has_asked = spin->round > 0 && !spin->insists; /* in sp__spin */
    if (has_asked || sp__spin_is_worth_it())
        return most;
    if (!spin->insists)
        return 0;
    return most < BRIEF ? most : BRIEF;
}

static bool goes_on(struct sp__spin *spin, int64_t now)
{
    if (spin->looked != 0) {
        look_for_gap(spin->looked, now);
        return now < spin->until && !resting(now);
    }
    int64_t length = allowed(spin, now);
    spin->until = now + length;
    if (length > 0)
        sp__spins_in_vain++; /* until a look finds that this one was of use */
    return length > 0;
}

bool sp__spin_on(struct sp__spin *spin)
{
    if (sp__load_relaxed(&configured) == 0) /* relaxed: as in allowed */
        return false;
    int64_t now = sp__os_now();
    bool more = goes_on(spin, now);
    spin->looked = now;
    if (!more)
        return false;
    spin->round++;
    for (unsigned i = 0; i < PAUSES; i++)
        sp__cpu_relax();
    return true;
}

void sp__spin_paid(const struct sp__spin *spin)
{
    int64_t now = spin->looked != 0 ? sp__os_now() : 0;
    if (now != 0)
        look_for_gap(spin->looked, now);
    if (spin->round > 0 && now <= spin->until) /* a spin that took longer than a sleep was of no use */
        sp__spins_in_vain = 0;
}

static void sleep_for_a_moment(int64_t now)
{
    uint32_t nobody_wakes = 0;
    sp__os_futex_wait(&nobody_wakes, 0, now + MOMENT);
}

void sp__give_way(void)
{
    int64_t now = sp__os_now();
    if (resting(now)) {
        sleep_for_a_moment(now);
        return;
    }
    sp__os_yield();
    look_for_gap(now, sp__os_now());
}

enum { MOMENTS_TO_PAUSE = 64, MOMENTS_TO_YIELD = 256 };

void sp__pass_moment(unsigned *round)
{
    if (*round >= MOMENTS_TO_YIELD) {
        sleep_for_a_moment(sp__os_now());
        return;
    }
    if (*round < MOMENTS_TO_PAUSE)
        sp__cpu_relax();
    else
        sp__give_way();
    ++*round;
}
