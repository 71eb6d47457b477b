/* What has ended leaves no memory behind: counted in any build, not only under a sanitizer.  Futures come from the allocator
   here, block by block, so that each of them counts: the test starts itself again with the environment that says so.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_LEAKS_H
#define SP_TESTS_LEAKS_H

#include "testing.h"

#include <spool.h>

#include "os/fault.h"
#include "os/os.h"

static inline void leaks_ignore_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

/* First in main. */
static inline void leaks_begin(char **argv)
{
    sp_set_unseen_error_hook(leaks_ignore_error, NULL);
    if (!sp__os_recycles())
        return;
    setenv("SPOOL_TEST_PLAIN_MEMORY", "1", 1);
    test_execute((char *[]){ argv[0], NULL });
    _exit(99);
}

/* Run it again and again.  Threads that have just ended may keep a little for a moment, as they may have before. */
static inline void leaks_nothing(void (*scenario)(void))
{
    enum { WARM_UP = 3, RUNS = 30 };
    for (int i = 0; i < WARM_UP; i++)
        scenario();
    uint64_t before = sp__fault_blocks();
    for (int i = 0; i < RUNS; i++)
        scenario();
    double end = sp_monotonic() + 10;
    while (sp__fault_blocks() >= before + RUNS / 2 && sp_monotonic() < end)
        sched_yield();
    assert_in_range(sp__fault_blocks(), 0, before + RUNS / 2);
}

/* A test of a scenario. */
#define LEAKS_NOTHING(scenario)                                                                                        \
    static void leaks_of_##scenario(void **state)                                                                      \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        leaks_nothing(scenario);                                                                                       \
    }

#endif
