/* The graph of waits: which runner waits for which.  A wait without a time limit for something that one runner alone can end
   (a lock that it holds, its end, a future that it runs) is an edge.  README.md has the proof that a cycle of edges is a
   deadlock, that only a deadlock is reported, and that none is missed.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_WAIT_GRAPH_H
#define SP_PARK_WAIT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "park/runner.h"

/* Lives on the waiter's stack.  A thread has at most one in the graph, and only while it sleeps; see sp__wait.edge. */
struct sp__edge {
    const char *does;   /* "waits for the lock" */
    const void *object; /* kept alive by the waiter while the edge is in the graph */
    /* The id of the runner that must move for the wait to end; 0: nobody in particular, or it has just ended.  Called under
       the graph's lock; looks at the object and nothing else. */
    uint64_t (*owner)(const void *object);
    /* Instead of `owner`, for a wait that ends when several runners have moved: the id of one at or after position *at, which
       goes past it; 0: there is no more. */
    uint64_t (*next_owner)(const void *object, size_t *at);
    /* Instead of either, for a wait that ends when all have moved who are at something, and whom nobody lists: is this one at
       it?  Asked of each runner that sleeps in the graph, and of those below it on its stack; looks at the runner, and at what
       that keeps while it sleeps. */
    bool (*is_held_by)(const void *object, const struct sp__runner *runner);
    bool may_be_refused; /* a cycle of only such edges is told to the waiter that closes it, and not reported */

    /* The rest is guarded by the graph's lock. */
    const struct sp__runner *waiter;
    struct sp__list asleep;   /* all edges */
    struct sp__list siblings; /* the edges to one object, in a circle */
    bool leads;               /* one of them stands for all in the two indices, which are the next fields */
    struct sp__edge *next;    /* in its bucket of `objects` */
    struct sp__list held; /* in `awaited` of the owner's thread, or in a bucket of `unknown_owners`, or in no list */
    uint64_t last_owner;  /* as of the last look */
    uint64_t walk;        /* the last walk that came here */
    size_t at;            /* how far that walk has followed next_owner */
    const struct sp__list *asked; /* or whose runners it has asked last */
    struct sp__edge *previous;    /* from which edge it came here; NULL: it began here */
};

/* Publish that the current runner is about to sleep.  False: that would close a cycle of edges that may be refused, and the
   edge is not published.  Any other cycle, and a wait for a runner that has ended, is reported through the deadlock hook,
   and the process aborts. */
bool sp__edge_publish(struct sp__edge *edge);
/* The waiter is awake, whatever the reason. */
void sp__edge_withdraw(struct sp__edge *edge);
/* The object may have got another owner while others sleep for it: called by the owner, or by one that was woken and found
   that another is the owner, before it sleeps again without an edge or goes away.  README.md says why this is enough. */
void sp__graph_look(const void *object);

/* ---- for runner.c ---- */
/* A thread begins: its id is known from now on, so that an id of a thread which is not known is of one that has ended. */
void sp__graph_add(struct sp__runner *runner);
/* It ends, or never began.  If somebody waits for what it still holds, that is reported, and the process aborts. */
void sp__graph_remove(struct sp__runner *runner);
/* A runner inside another, known because the thread has waited in it, ends. */
void sp__graph_forget(struct sp__runner *runner);
/* Around a fork the graph is at rest. */
void sp__graph_before_fork(void);
void sp__graph_after_fork_in_parent(void);
/* In the child: `survivor` is the only thread, and what others held is lost. */
void sp__graph_after_fork(struct sp__runner *survivor, uint64_t last_id);

#endif
