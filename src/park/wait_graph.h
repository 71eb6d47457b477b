/* Who waits for whom.  A wait without a time limit for something that one runner alone can end (a lock it holds, a thread
   it is, a future it runs) is an edge; README.md has the proof that a cycle of edges is a deadlock, and only then reported.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_WAIT_GRAPH_H
#define SP_PARK_WAIT_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "park/runner.h"

/* Lives on the waiter's stack while it is published. */
struct sp__edge {
    const char *does;   /* "waits for the lock" */
    const void *object; /* kept alive by the waiter while the edge is published */
    /* Who must move for the wait to end: the id of a runner; 0: nobody in particular, or it has just ended.  Called under
       the graph's lock; looks at the object and nothing else. */
    uint64_t (*owner)(const void *object);
    bool may_be_refused;             /* a cycle of only such edges is told to the one that closes it, not reported */
    const struct sp__runner *waiter; /* set by sp__edge_publish */
    struct sp__list link, all;       /* guarded by the graph's lock; see `helped` and `published` in wait_graph.c */
};

/* Publish that the current runner is about to wait.  False: that would close a cycle of edges that may be refused; the edge
   is not published.  Any other cycle, and a chain of edges that ends in a runner which is gone, is reported through the
   deadlock hook, and the process aborts. */
bool sp__edge_publish(struct sp__edge *edge);
void sp__edge_withdraw(struct sp__edge *edge);

/* ---- for runner.c: the runners of threads, so that an id which is not here is of one that has ended ---- */
void sp__graph_add(struct sp__runner *runner);
/* It ends, or never began.  If somebody waits for what it still holds, that is reported, and the process aborts. */
void sp__graph_remove(struct sp__runner *runner);
/* Around a fork the graph is at rest. */
void sp__graph_before_fork(void);
void sp__graph_after_fork_in_parent(void);
/* In the child: `survivor` is the only thread, and what others held is lost. */
void sp__graph_after_fork(struct sp__runner *survivor, uint64_t last_id);

#endif
