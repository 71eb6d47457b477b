/* See inbox.h.

   SPDX-License-Identifier: MIT */
#include "executor/inbox.h"

#include <stdio.h>

enum { PAUSES = 32 }; /* about half a microsecond: some ten tasks of who submits as fast as it can */

sp_status sp__inbox_put(struct sp__inbox *inbox, sp_future *future, size_t most)
{
    future->next = NULL;
    sp_lock_acquire(&inbox->in.lock);
    sp_status status = inbox->in.refusal;
    if (status == SP_OK && most != 0 && sp__inbox_size(inbox) >= most)
        status = SP_FULL;
    if (status == SP_OK) {
        if (inbox->in.first == NULL)
            inbox->in.first = future;
        else
            inbox->in.last->next = future;
        inbox->in.last = future;
        /* seq_cst: before the caller looks for workers to call, see crew_protocol.h */
        sp__add_seq_cst(&inbox->in.put, 1);
    }
    sp_lock_release(&inbox->in.lock);
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
        inbox->out.chain = future->next;
        /* seq_cst: before the caller looks for submitters that wait for room */
        sp__add_seq_cst(&inbox->out.taken, 1);
    }
    sp_lock_release(&inbox->out.lock);
    return future;
}

sp_future *sp__inbox_take_all(struct sp__inbox *inbox)
{
    sp_lock_acquire(&inbox->out.lock);
    sp_future *first = inbox->out.chain, **end = &first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = take_over(inbox);
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
