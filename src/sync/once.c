/* sp_once: new, running, done; once_protocol.h has the table of the word.

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "base/pause.h"
#include "os/os.h"
#include "park/wait_graph.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_once) == 8, "programs are compiled against it");

typedef uint64_t sp__once_word;

#include "sync/once_protocol.h"

struct once_wait {
    uint64_t *word;
    uint64_t seen;
};

static bool still_running(void *context)
{
    const struct once_wait *wait = context;
    return sp__load_relaxed(wait->word) == wait->seen; /* relaxed: the caller's loop acquires */
}

/* Who runs it; 0 when it is done. */
static uint64_t owner_of(const void *word)
{
    return sp__lock_word_owner(word);
}

static void sp__once_sleep(uint64_t *word, uint64_t marked)
{
    struct once_wait wait = { word, marked };
    struct sp__edge edge = { .does = "waits for the once", .object = word, .owner = owner_of };
    sp__park(&(struct sp__wait){ .address = word,
                                 .kind = SP__ONCE,
                                 .must_wait = still_running,
                                 .context = &wait,
                                 .deadline = SP__NEVER,
                                 .edge = &edge });
}

static void sp__once_wake(const uint64_t *word)
{
    sp__unpark(&(struct sp__wake){ .address = word, .kind = SP__ONCE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

static uint64_t sp__once_self(const uint64_t *word, uint64_t seen)
{
    if (sp__runner_on_stack(seen & SP__LOCK_ID))
        sp__deadlock("%s calls the once at %p from inside its own function", sp__runner_name(sp__self()),
                     (const void *)word);
    return sp__self_id();
}

void sp_once_call(sp_once *once, void (*fn)(void *context), void *context)
{
    void *exception = NULL;
    if (!sp__once_begin(&once->sp_word_))
        return;
    (void)sp__os_call_catching((void (*)(void))fn, context, NULL, &exception);
    sp__once_end(&once->sp_word_, exception == NULL ? SP__ONCE_DONE : 0);
    if (exception != NULL) /* it is new again, as std::once_flag would be */
        sp__os_exception_go_on(exception);
}
