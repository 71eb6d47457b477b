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

int sp__os_around_fork(void (*before)(void), void (*after)(void))
{
    return sp__fault_now() ? ENOMEM : pthread_atfork(before, after, after);
}

static pthread_key_t end_key; /* set once, before main */
static bool have_key;         /* set once, before main */

void sp__os_set_thread_end_handler(void (*handler)(void *argument))
{
    have_key = pthread_key_create(&end_key, handler) == 0;
}

int sp__os_at_thread_end(void *argument)
{
    if (!have_key)
        return EAGAIN;
    return sp__fault_now() ? ENOMEM : pthread_setspecific(end_key, argument);
}

void sp__os_yield(void)
{
    sched_yield();
}
