/* Handlers for the end of the process and for the child of a fork.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "os/fault.h"
#include "os/os.h"

int sp__os_at_exit(void (*handler)(void))
{
    return sp__fault_now() || atexit(handler) != 0 ? ENOMEM : 0;
}

int sp__os_at_fork_child(void (*handler)(void))
{
    return sp__fault_now() ? ENOMEM : pthread_atfork(NULL, NULL, handler);
}

void sp__os_yield(void)
{
    sched_yield();
}
