/* T1, T2 with sp_start and sp_join.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include "../bench.h"

typedef sp_thread *the_thread;

struct call {
    void (*run)(void);
};

static sp_status call(const struct call *in, sp_none *unused)
{
    (void)unused;
    in->run();
    return SP_OK;
}
SP_TASK(call, struct call, sp_none);

static bool the_thread_start(the_thread *thread, void (*run)(void), size_t stack)
{
    *thread = stack == 0 ? sp_start(call, .run = run) : sp_start_with(SP_THREAD(.stack_size = stack), call, .run = run);
    return *thread != NULL;
}

static void the_thread_join(the_thread *thread)
{
    bench_check(sp_join(*thread, NULL, SP_FOREVER) == SP_OK, "join failed");
    sp_thread_release(*thread);
}

static void the_thread_sleep(double seconds)
{
    sp_sleep(seconds);
}

#include "../thread.h"
