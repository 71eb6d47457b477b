/* What the tests of the graph of waits share: who holds a lock until it may go on, and when another waits.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_DEADLOCK_WAITING_H
#define SP_TESTS_DEADLOCK_WAITING_H

#include "child.h"
#include "deadlock/arrive.h"

#include "park/runner.h"
#include "park/wait_graph.h"

static sp_lock x, y, z;
static sp_event go;
static struct sp__runner *of_main;

/* Under the lock of the graph, as a fork takes it. */
static inline bool waits_in_graph(const struct sp__runner *runner)
{
    sp__graph_before_fork();
    bool waits = runner->thread_runner->edge != NULL;
    sp__graph_after_fork_in_parent();
    return waits;
}

/* For ever, if it does not: the process has a limit. */
static inline void await_waiting(const struct sp__runner *runner)
{
    for (unsigned look = 0; !waits_in_graph(runner); look++)
        test_pause(look);
}

static inline void end_thread(sp_thread *thread)
{
    must(sp_join(thread, NULL, 20.0) == SP_OK);
    sp_thread_release(thread);
}

static sp_status hold_x(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&x);
    arrive();
    (void)sp_event_wait(&go, SP_FOREVER);
    sp_lock_release(&x);
    return SP_OK;
}
SP_TASK(hold_x, sp_none, sp_none);

#endif
