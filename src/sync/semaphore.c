/* sp_semaphore: permits in the low half of the word, sleepers in the high half; README.md has the invariant.

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "base/atomic.h"
#include "base/pause.h"
#include "park/deadline.h"
#include "park/park.h"
#include "park/spin.h"

_Static_assert(sizeof(sp_semaphore) == 16, "programs are compiled against it");

#define ONE_SLEEPER (UINT64_C(1) << 32)
#define PERMITS(word) ((uint32_t)(word))

static bool take_permit(sp_semaphore *semaphore)
{
    uint64_t seen = sp__load_relaxed(&semaphore->sp_word_); /* relaxed: the CAS below acquires */
    while (PERMITS(seen) > 0)
        /* acquire: pairs with the release of whoever gave the permit */
        if (sp__cas_acquire(&semaphore->sp_word_, &seen, seen - 1))
            return true;
    return false;
}

/* Count ourselves as a sleeper, if there is still no permit. */
static bool no_permit(void *context)
{
    sp_semaphore *semaphore = context;
    uint64_t seen = sp__load_relaxed(&semaphore->sp_word_); /* relaxed: only the value decides */
    do
        if (PERMITS(seen) > 0)
            return false;
    while (!sp__cas_relaxed(&semaphore->sp_word_, &seen, seen + ONE_SLEEPER)); /* relaxed: publishes nothing */
    return true;
}

/* Replace the number of sleepers and add permits. */
static void settle(sp_semaphore *semaphore, uint32_t leaving, bool more, uint32_t permits)
{
    uint64_t seen = sp__load_relaxed(&semaphore->sp_word_), next; /* relaxed: only the value decides */
    do {
        uint64_t left = more ? (seen >> 32) - leaving : 0; /* a count that a fork has left too high is corrected here */
        next = left << 32 | (PERMITS(seen) + permits);
        /* release: pairs with the acquire in take_permit */
    } while (!sp__cas_release(&semaphore->sp_word_, &seen, next));
}

static void stop_sleeping(void *context, bool more)
{
    settle(context, 1, more, 0);
}

static bool acquire(sp_semaphore *semaphore, int64_t deadline)
{
    struct sp__spin spin = SP__SPIN;
    for (;;) {
        if (take_permit(semaphore)) {
            sp__spin_paid(&spin);
            return true;
        }
        if (deadline == SP__PASSED)
            return false;
        if (sp__spin(&spin))
            continue;
        SP__PAUSE("semaphore: no permit");
        enum sp__parked parked = sp__park(&(struct sp__wait){ .address = semaphore,
                                                              .kind = SP__SEMAPHORE,
                                                              .must_wait = no_permit,
                                                              .on_timeout = stop_sleeping,
                                                              .context = semaphore,
                                                              .deadline = deadline,
                                                              .spun = true });
        if (parked == SP__PARK_GRANTED)
            return true;
        if (parked == SP__PARK_TIMEOUT)
            return false;
    }
}

void sp_semaphore_acquire(sp_semaphore *semaphore)
{
    (void)acquire(semaphore, SP__NEVER);
}

bool sp_semaphore_acquire_timeout(sp_semaphore *semaphore, double timeout)
{
    return take_permit(semaphore) || acquire(semaphore, sp__deadline(timeout));
}

/* May n permits be added to so many? */
static bool fits(const sp_semaphore *semaphore, uint32_t permits, unsigned n)
{
    uint32_t limit = semaphore->sp_bounded_ ? semaphore->sp_limit_ : UINT32_MAX;
    return n <= limit && permits <= limit - n;
}

struct release {
    sp_semaphore *semaphore;
    unsigned n;
    bool fits;
};

static void give_rest(void *context, size_t woken, bool more)
{
    struct release *release = context;
    uint64_t seen = sp__load_relaxed(&release->semaphore->sp_word_); /* relaxed: only the value decides */
    /* Somebody was woken: then there was no permit, and n was checked against the limit by the caller. */
    release->fits = woken > 0 || fits(release->semaphore, PERMITS(seen), release->n);
    settle(release->semaphore, (uint32_t)woken, more, release->fits ? release->n - (uint32_t)woken : 0);
}

sp_status sp_semaphore_release(sp_semaphore *semaphore, unsigned n)
{
    uint64_t seen = sp__load_relaxed(&semaphore->sp_word_); /* relaxed: the CAS below decides */
    if (n == 0)
        return SP_VALUE_ERROR;
    do {
        if (!fits(semaphore, PERMITS(seen), n))
            return SP_VALUE_ERROR;
        if (seen >= ONE_SLEEPER) {
            struct release release = { semaphore, n, false };
            SP__PAUSE("semaphore: sleepers seen");
            sp__unpark(&(struct sp__wake){ .address = semaphore,
                                           .kind = SP__SEMAPHORE,
                                           .most = n,
                                           .token = SP__PARK_GRANTED,
                                           .commit = give_rest,
                                           .context = &release });
            return release.fits ? SP_OK : SP_VALUE_ERROR;
        }
        SP__PAUSE("semaphore: no sleepers seen");
        /* release: pairs with the acquire in take_permit.  LAST TOUCH: who gets the permit may free the semaphore. */
    } while (!sp__cas_release(&semaphore->sp_word_, &seen, seen + n));
    return SP_OK;
}
