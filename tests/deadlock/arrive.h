/* How the tests of deadlocks know how far other threads have got.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_DEADLOCK_ARRIVE_H
#define SP_TESTS_DEADLOCK_ARRIVE_H

#include "testing.h"

#include <stdbool.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "park/runner.h"
#include "park/wait_graph.h"

static sp_semaphore arrived;

static inline void arrive(void)
{
    if (sp_semaphore_release(&arrived, 1) != SP_OK)
        _exit(97);
}

static inline bool is_marked(const sp_lock *of)
{
    return sp__load_acquire(&of->sp_word_) >> 63; /* somebody is about to sleep for it */
}

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

#endif
