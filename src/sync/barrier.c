/* sp_barrier: everything in one word, which changes under the bucket lock only; README.md has its table.

   bits 0-30   how many have arrived and sleep
   bit 31      BROKEN: until reset
   bit 32      ACTING: all have arrived, the last one runs the action
   bits 33-63  number of the round: changes when a round has passed and at reset

   Who sleeps is told by a token whether the round passed, and does not touch the barrier any more.

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "base/atomic.h"
#include "base/pause.h"
#include "park/deadline.h"
#include "park/park.h"

_Static_assert(sizeof(sp_barrier) == 32 && sizeof(sp_barrier) <= 64, "programs are compiled against it");

#define ARRIVED ((UINT64_C(1) << 31) - 1)
#define BROKEN (UINT64_C(1) << 31)
#define ACTING (UINT64_C(1) << 32)
#define ONE_ROUND (UINT64_C(1) << 33)
#define ROUND(word) ((word) & ~(ONE_ROUND - 1))

static uint64_t load(const sp_barrier *barrier)
{
    /* acquire: pairs with the release in store, for those who ask without the bucket lock: see was_broken_by_fork */
    return sp__load_acquire(&barrier->sp_word_);
}

static void store(sp_barrier *barrier, uint64_t word)
{
    sp__store_release(&barrier->sp_word_, word); /* release: pairs with the acquire in load */
}

/* In the child of a fork those who had arrived do not exist. */
static bool was_broken_by_fork(const sp_barrier *barrier, uint64_t word)
{
    /* relaxed: stored before the word, by those who arrive, and the word was acquired */
    return (word & (ARRIVED | ACTING)) != 0 && sp__load_relaxed(&barrier->sp_process_) != sp__process_number;
}

/* ---- waking: each is called under the bucket lock and says how many to wake ---- */

static size_t break_it(void *context)
{
    sp_barrier *barrier = context;
    store(barrier, (load(barrier) & ~ARRIVED) | BROKEN);
    return SIZE_MAX;
}

static size_t renew(void *context)
{
    sp_barrier *barrier = context;
    store(barrier, ROUND(load(barrier)) + ONE_ROUND);
    return SIZE_MAX;
}

struct arrival {
    sp_barrier *barrier;
    uint64_t round;
    unsigned index;
    enum { LATER, SLEEPS, IS_LAST, REFUSED } is;
    bool passes; /* of the last one: what the action said, then how the round ended */
};

/* The last one comes back from the action. */
static size_t end_round(void *context)
{
    struct arrival *last = context;
    uint64_t word = load(last->barrier);
    if (ROUND(word) != last->round || (word & BROKEN)) { /* reset or aborted meanwhile: the others know */
        if (ROUND(word) == last->round)
            store(last->barrier, word & ~ACTING);
        last->passes = false;
        return 0;
    }
    if ((word & ARRIVED) != 0 && was_broken_by_fork(last->barrier, word))
        last->passes = false; /* the action has forked, and this is the child, where the others are not */
    store(last->barrier, last->passes ? last->round + ONE_ROUND : last->round | BROKEN);
    return SIZE_MAX;
}

/* One whose time is up breaks the round it arrived in. */
static size_t break_round(void *context)
{
    const struct arrival *late = context;
    return ROUND(load(late->barrier)) == late->round ? break_it(late->barrier) : 0;
}

static void wake(sp_barrier *barrier, enum sp__parked token, size_t (*decide)(void *), void *context)
{
    sp__unpark(&(struct sp__wake){
        .address = barrier, .kind = SP__BARRIER, .token = token, .decide = decide, .context = context });
}

/* Those who came while the action ran.  The barrier is only a number here. */
static void open_gate(sp_barrier *barrier)
{
    sp__unpark(&(struct sp__wake){
        .address = barrier, .kind = SP__BARRIER_GATE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

/* ---- waiting ---- */

/* Under the bucket lock: arrive.  True: sleep for the others. */
static bool arrive(void *context)
{
    struct arrival *self = context;
    sp_barrier *barrier = self->barrier;
    if (was_broken_by_fork(barrier, load(barrier)))
        store(barrier, (load(barrier) & ~(ARRIVED | ACTING)) | BROKEN);
    uint64_t word = load(barrier);
    self->round = ROUND(word);
    if (word & BROKEN) {
        self->is = REFUSED;
    } else if (word & ACTING) {
        self->is = LATER;
    } else {
        self->index = (unsigned)(word & ARRIVED);
        self->is = self->index + 1 >= barrier->sp_parties_ ? IS_LAST : SLEEPS;
        /* relaxed: published by the word */
        sp__store_relaxed(&barrier->sp_process_, sp__process_number);
        store(barrier, self->is == IS_LAST ? word | ACTING : word + 1);
    }
    return self->is == SLEEPS;
}

/* Under the bucket lock: once all have arrived nobody is late. */
static bool may_give_up(void *context)
{
    const struct arrival *self = context;
    return !(load(self->barrier) & ACTING);
}

/* Under the bucket lock: one less has arrived. */
static void leave(void *context, bool more)
{
    const struct arrival *self = context;
    uint64_t word = load(self->barrier);
    (void)more;
    if (ROUND(word) == self->round && (word & ARRIVED) > 0)
        store(self->barrier, word - 1);
}

static bool is_acting(void *context)
{
    const struct arrival *self = context;
    return load(self->barrier) == ((load(self->barrier) & ARRIVED) | self->round | ACTING);
}

/* What the action returns; false, too, if it does not. */
static bool call_action(const sp_barrier *barrier, void **ret_exception)
{
    if (barrier->sp_action_ == NULL)
        return true;
    int passes = sp__os_call_catching((void (*)(void))barrier->sp_action_, barrier->sp_context_, NULL, ret_exception);
    return (passes & 0xff) != 0 && *ret_exception == NULL; /* a bool is one byte */
}

static void tell_end(void *argument)
{
    struct arrival *self = argument;
    sp_barrier *barrier = self->barrier;
    SP__TELL_RELEASE(barrier);
    wake(barrier, self->passes ? SP__PARK_GRANTED : SP__PARK_REFUSED, end_round, self); /* LAST TOUCH */
    SP__PAUSE("barrier: round ended");
    open_gate(barrier);
}

static sp_status run_action(struct arrival *self)
{
    SP__PAUSE("barrier: all arrived");
    SP__TELL_ACQUIRE(self->barrier);
    void *exception = NULL;
    SP__ON_UNWIND(tell_end, self); /* the action may end the thread */
    self->passes = call_action(self->barrier, &exception);
    SP__END_UNWIND(true);
    if (exception != NULL)
        sp__os_exception_go_on(exception);
    return self->passes ? SP_OK : SP_BROKEN_BARRIER;
}

static sp_status sleep_for_others(struct arrival *self, enum sp__parked parked, unsigned *ret_index)
{
    if (parked == SP__PARK_TIMEOUT) {
        SP__PAUSE("barrier: out of time");
        wake(self->barrier, SP__PARK_REFUSED, break_round, self);
        return SP_TIMEOUT;
    }
    if (parked != SP__PARK_GRANTED)
        return SP_BROKEN_BARRIER;
    SP__TELL_ACQUIRE(self->barrier);
    if (ret_index != NULL)
        *ret_index = self->index;
    return SP_OK;
}

sp_status sp_barrier_wait(sp_barrier *barrier, unsigned *ret_index, double timeout)
{
    if (sp__is_nan(timeout) || barrier->sp_parties_ == 0)
        return SP_VALUE_ERROR;
    int64_t deadline = sp__deadline(timeout);
    struct arrival self = { .barrier = barrier };
    SP__TELL_RELEASE(barrier);
    for (;;) {
        enum sp__parked parked = sp__park(&(struct sp__wait){ .address = barrier,
                                                              .kind = SP__BARRIER,
                                                              .must_wait = arrive,
                                                              .on_timeout = leave,
                                                              .may_give_up = may_give_up,
                                                              .context = &self,
                                                              .deadline = deadline,
                                                              .keeps_place = true });
        if (parked != SP__PARK_CHANGED)
            return sleep_for_others(&self, parked, ret_index);
        if (self.is == REFUSED)
            return SP_BROKEN_BARRIER;
        if (self.is == IS_LAST)
            break;
        SP__PAUSE("barrier: at the gate");
        sp__park(&(struct sp__wait){ .address = barrier,
                                     .kind = SP__BARRIER_GATE,
                                     .must_wait = is_acting,
                                     .context = &self,
                                     .deadline = SP__NEVER }); /* the action ends, as in Python under a lock */
    }
    sp_status status = run_action(&self);
    if (status == SP_OK && ret_index != NULL)
        *ret_index = self.index;
    return status;
}

void sp_barrier_reset(sp_barrier *barrier)
{
    wake(barrier, SP__PARK_REFUSED, renew, barrier);
    SP__PAUSE("barrier: reset");
    open_gate(barrier);
}

void sp_barrier_abort(sp_barrier *barrier)
{
    wake(barrier, SP__PARK_REFUSED, break_it, barrier);
    SP__PAUSE("barrier: aborted");
    open_gate(barrier);
}

unsigned sp_barrier_n_waiting(const sp_barrier *barrier)
{
    uint64_t word = load(barrier);
    return was_broken_by_fork(barrier, word) ? 0 : (unsigned)(word & ARRIVED);
}

bool sp_barrier_broken(const sp_barrier *barrier)
{
    uint64_t word = load(barrier);
    return (word & BROKEN) != 0 || was_broken_by_fork(barrier, word);
}
