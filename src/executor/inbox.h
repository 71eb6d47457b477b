/* Where submits from outside arrive: an unbounded queue, linked through the futures, first in, first out.  What will not run
   any more, because it was cancelled or because whoever waits for it runs it, is taken out of the middle.

   Submitters link behind `last` under one lock, workers take from a chain of their own under another; a worker that has used
   up the chain takes over all that has arrived.  So submitters and workers meet once for many tasks.

   A future in here says so in `place`, beside its next; its `before` is the one before it, but for the first of each list, whose
   `before` means nothing.  Both change under the lock of the list.  Who has taken it out sets `before` to NULL.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_INBOX_H
#define SP_EXECUTOR_INBOX_H

#include <spool/lock.h>

#include "future/future.h"

struct sp__inbox {
    struct {
        sp_lock lock;
        sp_future *first, *last; /* guarded by lock */
        uint64_t put;            /* atomic, changes under lock: how many came so far */
        sp_status refusal;       /* guarded by lock: SP_OK, or what submits are told */
    } in SP__APART;
    struct {
        sp_lock lock;
        sp_future *chain; /* guarded by lock: before all that is in `in` */
        uint64_t taken;   /* atomic, changes under lock: how many left so far */
        uint64_t over;    /* atomic, changes under lock: so many have come into the chain */
    } out SP__APART;
};

/* Put the future in, with a reference that is the inbox's then.  SP_FULL: `most` are in there (0: no bound); or the
   refusal.  When the future is in, last_look(context) is called under the lock: once that is free the task may run, and end
   what the inbox is part of. */
sp_status sp__inbox_put(struct sp__inbox *inbox, sp_future *future, size_t most, void (*last_look)(void *context),
                        void *context);
/* The first, with its reference; NULL: none.  `is_busy`: the caller has just run another, and may wait some nanoseconds. */
sp_future *sp__inbox_take(struct sp__inbox *inbox, bool is_busy);
/* Take this one out.  True: its reference is the caller's now.  False: it is not in here. */
bool sp__inbox_remove(struct sp__inbox *inbox, sp_future *future) __attribute__((nonnull));
/* All of them, linked by next. */
sp_future *sp__inbox_take_all(struct sp__inbox *inbox);
/* Copy the name of the first task.  False: there is none. */
bool sp__inbox_name_first(struct sp__inbox *inbox, char *ret_name, size_t size);
/* From now on refuse what comes.  SP_BROKEN_POOL takes the place of SP_SHUT_DOWN, and stays. */
void sp__inbox_close(struct sp__inbox *inbox, sp_status refusal);

/* How many are in there, or some more: what is put or taken between the two looks counts as there. */
static inline uint64_t sp__inbox_size(const struct sp__inbox *inbox)
{
    /* seq_cst: after the caller's seq_cst change of something else; pairs with the additions in inbox.c.  taken before put,
       lest the difference be negative */
    uint64_t taken = sp__load_seq_cst(&inbox->out.taken);
    return sp__load_seq_cst(&inbox->in.put) - taken;
}

#endif
