/* sp_event: bit 0 is the flag, the rest counts sets.

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "base/atomic.h"
#include "base/pause.h"
#include "park/deadline.h"
#include "park/park.h"
#include "park/spin.h"

_Static_assert(sizeof(sp_event) == 8, "programs are compiled against it");

#define SET UINT64_C(1)
#define ONE_COUNT UINT64_C(2)

void sp_event_set(sp_event *event)
{
    uint64_t seen = sp__load_relaxed(&event->sp_word_); /* relaxed: the CAS below decides */
    SP__TELL_RELEASE(&event->sp_word_);
    /* seq_cst: a release, pairs with the acquires of the waiters; and before the count of sleepers is read, see park/.
       LAST TOUCH: a waiter may free the event, below it is a number. */
    while (!sp__cas_seq_cst(&event->sp_word_, &seen, (seen + ONE_COUNT) | SET))
        continue;
    SP__PAUSE("event: set");
    if (sp__park_maybe_waiters(event))
        sp__unpark(
            &(struct sp__wake){ .address = event, .kind = SP__EVENT, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

void sp_event_clear(sp_event *event)
{
    sp__and_relaxed(&event->sp_word_, ~SET); /* relaxed: clearing publishes nothing */
}

bool sp_event_is_set(const sp_event *event)
{
    /* acquire: pairs with the seq_cst change in sp_event_set */
    return sp__load_acquire(&event->sp_word_) & SET;
}

struct event_wait {
    const sp_event *event;
    uint64_t before; /* the word, not set, at the beginning of the wait */
};

static bool not_set_since(void *context)
{
    const struct event_wait *wait = context;
    /* seq_cst: after we were counted in the bucket; pairs with the change in sp_event_set.  A clear cannot have changed
       the count, so that a different word means a set. */
    return sp__load_seq_cst(&wait->event->sp_word_) == wait->before;
}

/* Spin until it is set.  False: it was not. */
static bool set_soon(const struct event_wait *wait)
{
    struct sp__spin spin = SP__SPIN;
    while (sp__spin(&spin))
        /* acquire: pairs with the change in sp_event_set */
        if (sp__load_acquire(&wait->event->sp_word_) != wait->before) {
            sp__spin_paid(&spin);
            return true;
        }
    return false;
}

bool sp_event_wait(sp_event *event, double timeout)
{
    /* acquire: pairs with the change in sp_event_set */
    uint64_t before = sp__load_acquire(&event->sp_word_);
    struct event_wait wait = { event, before };
    if (before & SET)
        return true;
    int64_t deadline = sp__deadline(timeout);
    if (deadline != SP__PASSED && set_soon(&wait))
        return true;
    while (deadline != SP__PASSED) {
        SP__PAUSE("event: not set");
        enum sp__parked parked = sp__park(&(struct sp__wait){ .address = event,
                                                              .kind = SP__EVENT,
                                                              .must_wait = not_set_since,
                                                              .context = &wait,
                                                              .deadline = deadline,
                                                              .spun = true });
        SP__PAUSE("event: slept");
        /* acquire: pairs with the change in sp_event_set; a set may come with the time-out, then it counts */
        if (sp__load_acquire(&event->sp_word_) != wait.before)
            return true;
        if (parked == SP__PARK_TIMEOUT)
            return false;
    }
    return false;
}
