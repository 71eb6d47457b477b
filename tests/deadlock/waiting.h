/* What the tests of the graph of waits share: threads that hold a lock until they may go on.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_DEADLOCK_WAITING_H
#define SP_TESTS_DEADLOCK_WAITING_H

#include "child.h"
#include "deadlock/arrive.h"

#include "park/runner.h"

static sp_lock x, y, z;
static sp_event go;
static struct sp__runner *of_main;

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
