/* One program: made from a seed and run.

   usage: program SEED [STEP,STEP...]     the steps with those numbers are left out
          program --print SEED [STEP,STEP...]
   SPOOL_LEAN_FAULT makes it end badly in the way that it names: to see that this is noticed.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each exit under it would wait for a second; who leaves by exit has joined nobody. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:atexit_sleep_ms=0:second_deadlock_stack=1:report_thread_leaks=0";
}

/* What was in the hands of a thread that ended in the middle is lost, as some step has told; nobody can say what else is. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return fact(&world.lost);
}

static bool is_wanted(const char *fault_name)
{
    const char *wanted = getenv("SPOOL_LEAN_FAULT");
    return wanted != NULL && strcmp(wanted, fault_name) == 0;
}

static void end_badly(void)
{
    static sp_lock lock;
    static sp_event never;
    if (is_wanted("crash"))
        raise(SIGSEGV);
    if (is_wanted("hang"))
        sp_event_wait(&never, SP_FOREVER);
    if (is_wanted("deadlock")) {
        sp_lock_acquire(&lock);
        sp_lock_acquire(&lock);
    }
    if (is_wanted("leak"))
        count_up(&world.items);
    if (is_wanted("status"))
        exit(3);
    if (is_wanted("left") && fork() == 0)
        for (;;)
            pause();
}

int main(int count, char **arguments)
{
    bool prints = count > 1 && strcmp(arguments[1], "--print") == 0;
    int first = prints ? 2 : 1;
    if (count <= first || count > first + 2 || (count == first + 2 && !steps_drop(arguments[first + 1]))) {
        fprintf(stderr, "usage: %s [--print] SEED [STEP,STEP...]\n", arguments[0]);
        return 2;
    }
    program_make(strtoull(arguments[first], NULL, 0));
    if (prints) {
        program_print();
        return 0;
    }
    world_begin();
    actor_run(&(struct call){ .place = IN_MAIN, .pool = NO_POOL });
    end_badly();
    if (!world.in_child)
        world_end();
    return 0;
}
