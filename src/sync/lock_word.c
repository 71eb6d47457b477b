/* The slow paths of lock and reentrant lock: what lock_protocol.h needs to wait, and nothing of the protocol itself.

   SPDX-License-Identifier: MIT */
#include "sync/lock_word.h"

#include <inttypes.h>
#include <string.h>

#include "base/pause.h"
#include "os/lifecycle.h"
#include "park/spin.h"
#include "park/wait_graph.h"

typedef uint64_t sp__lock_word;

enum {
    LOOKS = 50,         /* at the word, with a pause in between, before anything else */
    STARVING = 1000000, /* nanoseconds of waiting after which a contender becomes the heir */
    PATIENCE = 100000   /* nanoseconds that a lock may be free for an heir that does not come */
};

struct sp__lock_env {
    int64_t deadline;
    int64_t since;        /* of the first sleep; 0: none yet */
    int64_t reserved;     /* since when we see the lock free for an heir; 0: we do not */
    struct sp__spin spin; /* of this wait */
    uint32_t
        counted_in; /* sp__process_number + 1 of the process in which it is counted in `heir_counts`; 0: it is not */
    struct sp__edge edge; /* of a wait without a limit */
};

enum { HEIR_COUNTS = 256 };

/* How many wait, each for a lock with this hash, and may be its heir; atomic.  Asked in the child of a fork only: there a lock
   may be kept for an heir that does not exist. */
static uint32_t heir_counts[HEIR_COUNTS];

#include "sync/lock_protocol.h"

_Static_assert(SP__LOCK_ID == (UINT64_C(1) << 61) - 1, "as SP__LOCK_OWNER");

static bool sp__lock_spin(struct sp__lock_env *env)
{
    env->reserved = 0;
    return sp__spin(&env->spin);
}

static bool sp__lock_yield(struct sp__lock_env *env)
{
    int64_t now = sp__os_now();
    if (env->reserved == 0)
        env->reserved = now;
    sp__give_way();
    return now - env->reserved < PATIENCE;
}

static uint32_t *heirs_of(const void *word)
{
    uint64_t mixed = (uint64_t)(uintptr_t)word * UINT64_C(0x9E3779B97F4A7C15);
    return &heir_counts[mixed >> 56];
}
_Static_assert(HEIR_COUNTS == 1 << (64 - 56), "heirs_of takes as many bits as there are counts");

static bool sp__lock_starves(struct sp__lock_env *env)
{
    if (env->since == 0 || sp__os_now() - env->since < STARVING)
        return false;
    if (env->counted_in == 0)
        sp__add_relaxed(heirs_of(env->edge.object), 1); /* relaxed: see forget_lost_heir */
    env->counted_in = sp__process_number + 1;
    return true;
}

static bool sp__lock_is_late(struct sp__lock_env *env)
{
    return env->deadline == SP__PASSED;
}

struct attempt {
    uint64_t *word;
    uint64_t seen;
};

static bool still_as_seen(void *context)
{
    const struct attempt *attempt = context;
    /* relaxed: the bucket lock orders us with a release that unlinks; the value alone decides */
    return sp__load_relaxed(attempt->word) == attempt->seen;
}

static void nobody_sleeps(void *context, bool more)
{
    const struct attempt *attempt = context;
    if (!more)
        sp__and_relaxed(attempt->word, ~SP__LOCK_PARKED); /* relaxed: the mark publishes nothing */
}

static enum sp__slept sp__lock_sleep(struct sp__lock_env *env, uint64_t *word, uint64_t seen, bool heir)
{
    struct attempt attempt = { word, seen };
    bool untimed = env->deadline == SP__NEVER;
    if (env->since == 0)
        env->since = sp__os_now();
    else if (!untimed)
        sp__graph_look(word); /* it was woken, and another has the lock */
    SP__PAUSE("lock: marked");
    enum sp__parked parked = sp__park(&(struct sp__wait){ .address = word,
                                                          .kind = heir ? SP__LOCK_HEIR : SP__LOCK,
                                                          .must_wait = still_as_seen,
                                                          .on_timeout = heir ? NULL : nobody_sleeps,
                                                          .context = &attempt,
                                                          .deadline = env->deadline,
                                                          .edge = untimed ? &env->edge : NULL,
                                                          .spun = true });
    SP__PAUSE("lock: slept");
    if (parked != SP__PARK_CHANGED)
        env->spin = (struct sp__spin)SP__SPIN; /* a new wait: the lock may be ours in a moment */
    return parked == SP__PARK_CHANGED   ? SP__SLEPT_NOT
           : parked == SP__PARK_TIMEOUT ? SP__SLEPT_TOO_LONG
                                        : SP__SLEPT_WOKEN;
}

struct making_free {
    uint64_t *word;
    bool heirs, made;
};

static void make_free(void *context, size_t woken, bool more)
{
    struct making_free *making = context;
    (void)woken, (void)more;
    making->made = sp__lock_make_free(making->word, making->heirs);
}

static bool sp__lock_wake(uint64_t *word, bool heirs)
{
    struct making_free making = { word, heirs, false };
    sp__unpark(&(struct sp__wake){ .address = word,
                                   .kind = heirs ? SP__LOCK_HEIR : SP__LOCK,
                                   .most = heirs ? SIZE_MAX : 1,
                                   .token = SP__PARK_RECHECK,
                                   .commit = make_free,
                                   .context = &making });
    return making.made;
}

static void sp__lock_wake_heirs(uint64_t *word)
{
    sp__unpark(
        &(struct sp__wake){ .address = word, .kind = SP__LOCK_HEIR, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

/* In the child of a fork: the heir that the lock is kept for may be a thread of the parent, and would keep out for ever those
   who do not wait.  An heir of this process that is not counted yet as far as we see is woken, and asks again. */
static void forget_lost_heir(uint64_t *word)
{
    uint64_t seen = sp__load_relaxed(word); /* relaxed: the CAS decides */
    if (!(seen & SP__LOCK_HANDOFF) || sp__load_relaxed(heirs_of(word)) != 0)
        return;
    if (sp__cas_relaxed(word, &seen, seen & ~SP__LOCK_HANDOFF)) /* relaxed: marks publish nothing */
        sp__lock_wake_heirs(word);
}

/* The child begins with no heirs. */
static void forget_heirs(void)
{
    memset(heir_counts, 0, sizeof heir_counts);
}

const struct sp__fork_handler sp__fork_sync = { .in_child = forget_heirs };

static uint64_t owner_of(const void *word)
{
    return sp__lock_word_owner(word);
}

/* Most locks are held for less than it takes to prepare for a sleep. */
static bool take_soon(uint64_t *word, uint64_t id)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        /* relaxed: the CAS acquires */
        if (sp__load_relaxed(word) == 0 && sp__lock_word_try(word, id))
            return true;
        if (!sp__may_spin())
            return false;
        sp__cpu_relax();
    }
    return false;
}

bool sp__lock_word_acquire_slow(uint64_t *word, uint64_t id, int64_t deadline, const char *waits)
{
    if (take_soon(word, id))
        return true;
    if (deadline == SP__NEVER && sp__runner_on_stack(sp__lock_word_owner(word)))
        sp__deadlock("%s (id %" PRIu64 ") %s at %p, which it holds itself", sp__runner_name(sp__self()), id, waits,
                     (void *)word);
    if (sp__process_number != 0)
        forget_lost_heir(word);
    struct sp__contender self = { .word = word, .id = id };
    struct sp__lock_env env = { .deadline = deadline, .edge = { .does = waits, .object = word, .owner = owner_of } };
    bool acquired = sp__lock_contend(&self, &env);
    if (env.counted_in == sp__process_number + 1)
        sp__sub_relaxed(heirs_of(word), 1); /* relaxed: as above */
    if (env.since == 0 && acquired)
        sp__spin_paid(&env.spin);
    /* Others may sleep for it.  relaxed: marks that matter were put up before the acquire */
    if (acquired ? sp__load_relaxed(word) != id : env.since != 0)
        sp__graph_look(word);
    return acquired;
}

void sp__lock_word_release_slow(uint64_t *word)
{
    sp__lock_release_marked(word); /* LAST TOUCH */
    sp__wake_deferred();
}

void sp__lock_word_owe(uint64_t *word)
{
    sp__or_relaxed(word, SP__LOCK_OWES); /* relaxed: a mark for the owner itself */
}
