/* A crash in a task goes to the program's handler, as one in main does: it is the thread's own, whatever a worker blocks.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <sys/mman.h>

#include <spool.h>

static const char *program;

static void leave_well(int number)
{
    (void)number;
    _exit(0);
}

static sp_status touch_nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return *page == 0 ? SP_OK : SP_VALUE_ERROR;
}
SP_TASK(touch_nothing, sp_none, sp_none);

static void crash_in_a_task(void)
{
    struct sigaction action = { .sa_handler = leave_well };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    (void)sp_future_wait(sp_submit(pool, touch_nothing), SP_FOREVER);
    abort();
}

static const struct child_case cases[] = { { "crash_in_a_task", crash_in_a_task } };

static void the_handler_for_a_crash_is_called_in_a_worker(void **state)
{
    (void)state;
    (void)child_run_well(program, "crash_in_a_task");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 2)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_handler_for_a_crash_is_called_in_a_worker) };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
