/* See inbox.h.

   SPDX-License-Identifier: MIT */
#include "executor/inbox.h"

#include <stdio.h>

enum { PAUSES = 32 }; /* about half a microsecond: some ten tasks of who submits as fast as it can */

/* What `place` of a future in here says besides its next: others look for that. */
#define IN_INBOX ((uintptr_t)4)

/* relaxed, these three: under the lock of the list; who reads it without one looks for the mark of a deque, which is another */
static sp_future *next_of(const sp_future *future)
{
    return (sp_future *)(sp__load_relaxed(&future->place) & ~IN_INBOX); /* relaxed: see above */
}

static bool is_in_inbox(const sp_future *future)
{
    return sp__load_relaxed(&future->place) & IN_INBOX; /* relaxed: see above */
}

static void set_next(sp_future *future, const sp_future *next)
{
    sp__store_relaxed(&future->place, (uintptr_t)next | IN_INBOX); /* relaxed: see above */
}

static void link_behind(sp_future *before, sp_future *future)
{
    future->before = before;
    set_next(before, future);
}

/* It is in here no more; `next` remains. */
static void let_go(sp_future *future)
{
    sp__store_relaxed(&future->next, next_of(future)); /* relaxed: see above */
    future->before = NULL;
}

sp_status sp__inbox_put(struct sp__inbox *inbox, sp_future *future, size_t most, void (*last_look)(void *context),
                        void *context)
{
    sp_lock_acquire(&inbox->in.lock);
    sp_status status = inbox->in.refusal;
    if (status == SP_OK && most != 0 && sp__inbox_size(inbox) >= most)
        status = SP_FULL;
    if (status == SP_OK) {
        set_next(future, NULL);
        if (inbox->in.first == NULL)
            inbox->in.first = future->before = future;
        else
            link_behind(inbox->in.last, future);
        inbox->in.last = future;
        /* seq_cst: before the caller looks for workers to call, see crew_protocol.h */
        sp__add_seq_cst(&inbox->in.put, 1);
        last_look(context);
    }
    sp_lock_release(&inbox->in.lock); /* LAST TOUCH, if the future is in */
    return status;
}

/* Under out.lock: what has arrived. */
static sp_future *take_over(struct sp__inbox *inbox)
{
    sp_lock_acquire(&inbox->in.lock);
    sp_future *chain = inbox->in.first;
    inbox->in.first = NULL;
    sp__store_relaxed(&inbox->out.over, sp__load_relaxed(&inbox->in.put)); /* relaxed: for let_it_fill */
    sp_lock_release(&inbox->in.lock);
    return chain;
}

/* Let a submitter who is just filling the inbox get ahead, without a look at the cache line that it writes: taking over one
   task at a time would cost both sides more. */
static void let_it_fill(const struct sp__inbox *inbox)
{
    /* relaxed: a guess, both */
    if (sp__load_relaxed(&inbox->out.taken) == sp__load_relaxed(&inbox->out.over))
        for (unsigned i = 0; i < PAUSES; i++)
            sp__cpu_relax();
}

sp_future *sp__inbox_take(struct sp__inbox *inbox, bool is_busy)
{
    if (sp__inbox_size(inbox) == 0)
        return NULL;
    if (is_busy)
        let_it_fill(inbox);
    sp_lock_acquire(&inbox->out.lock);
    sp_future *future = inbox->out.chain != NULL ? inbox->out.chain : take_over(inbox);
    if (future != NULL) {
        inbox->out.chain = next_of(future);
        let_go(future);
        /* seq_cst: before the caller looks for submitters that wait for room */
        sp__add_seq_cst(&inbox->out.taken, 1);
    }
    sp_lock_release(&inbox->out.lock);
    return future;
}

/* Under both locks: close the gap. */
__attribute__((nonnull)) static void unlink_it(struct sp__inbox *inbox, sp_future *future)
{
    sp_future *next = next_of(future);
    if (inbox->in.first != NULL && inbox->in.last == future)
        inbox->in.last = future->before; /* means nothing if it was the first as well */
    if (inbox->out.chain == future)
        inbox->out.chain = next;
    else if (inbox->in.first == future)
        inbox->in.first = next;
    else
        set_next(future->before, next);
    if (next != NULL)
        next->before = future->before;
    let_go(future);
}

bool sp__inbox_remove(struct sp__inbox *inbox, sp_future *future)
{
    sp_lock_acquire(&inbox->out.lock);
    sp_lock_acquire(&inbox->in.lock);
    bool is_here = is_in_inbox(future);
    if (is_here) {
        unlink_it(inbox, future);
        sp__add_seq_cst(&inbox->out.taken, 1); /* seq_cst: as in sp__inbox_take */
    }
    sp_lock_release(&inbox->in.lock);
    sp_lock_release(&inbox->out.lock);
    return is_here;
}

/* The last of them, or NULL. */
static sp_future *let_all_go(sp_future *chain)
{
    sp_future *last = NULL;
    for (; chain != NULL; chain = chain->next) {
        let_go(chain);
        last = chain;
    }
    return last;
}

sp_future *sp__inbox_take_all(struct sp__inbox *inbox)
{
    sp_lock_acquire(&inbox->out.lock);
    sp_future *first = inbox->out.chain, *last = let_all_go(first), *arrived = take_over(inbox);
    (void)let_all_go(arrived);
    if (last == NULL)
        first = arrived;
    else
        sp__store_relaxed(&last->next, arrived); /* relaxed: as in next_of */
    inbox->out.chain = NULL;
    /* relaxed: both change under out.lock, which we hold */
    uint64_t count = sp__load_relaxed(&inbox->out.over) - sp__load_relaxed(&inbox->out.taken);
    sp__add_seq_cst(&inbox->out.taken, count); /* seq_cst: as in sp__inbox_take */
    sp_lock_release(&inbox->out.lock);
    return first;
}

bool sp__inbox_name_first(struct sp__inbox *inbox, char *ret_name, size_t size)
{
    sp_lock_acquire(&inbox->out.lock);
    if (inbox->out.chain == NULL)
        inbox->out.chain = take_over(inbox);
    const sp_future *first = inbox->out.chain;
    if (first != NULL)
        snprintf(ret_name, size, "%s", first->task->name);
    sp_lock_release(&inbox->out.lock);
    return first != NULL;
}

void sp__inbox_close(struct sp__inbox *inbox, sp_status refusal)
{
    sp_lock_acquire(&inbox->in.lock);
    if (inbox->in.refusal != SP_BROKEN_POOL)
        inbox->in.refusal = refusal;
    sp_lock_release(&inbox->in.lock);
}
