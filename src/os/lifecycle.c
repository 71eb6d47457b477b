/* Handlers for the end of the process, of a thread, and around a fork.

   SPDX-License-Identifier: MIT */
#include "os/lifecycle.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "os/os.h"

int sp__os_at_exit(void (*handler)(void))
{
    return sp__fault_now() || atexit(handler) != 0 ? ENOMEM : 0;
}

_Noreturn void sp__os_exit(void)
{
    exit(EXIT_SUCCESS);
}

/* ---- around a fork ---- */

/* A program that is linked with the static library may do without some of the rooms: they are not linked on our account. */
#pragma weak sp__fork_thread
#pragma weak sp__fork_executor
#pragma weak sp__fork_watches
#pragma weak sp__fork_depots
#pragma weak sp__fork_task
#pragma weak sp__fork_sync
#pragma weak sp__fork_park
#pragma weak sp__fork_hooks

static const struct sp__fork_handler *const rooms[] = { &sp__fork_thread, &sp__fork_executor, &sp__fork_watches,
                                                        &sp__fork_depots, &sp__fork_task,     &sp__fork_sync,
                                                        &sp__fork_park,   &sp__fork_hooks };
enum { ROOMS = sizeof rooms / sizeof rooms[0] };

static void before_fork(void)
{
    for (size_t i = 0; i < ROOMS; i++)
        if (rooms[i] != NULL && rooms[i]->before != NULL)
            rooms[i]->before();
}

static void after_fork_in_parent(void)
{
    for (size_t i = ROOMS; i-- > 0;)
        if (rooms[i] != NULL && rooms[i]->in_parent != NULL)
            rooms[i]->in_parent();
}

static pid_t process; /* written by the first call of sp__os_watch_forks, and alone in the child of a fork */

static void after_fork_in_child(void)
{
    process = getpid();
    for (size_t i = ROOMS; i-- > 0;)
        if (rooms[i] != NULL && rooms[i]->in_child != NULL)
            rooms[i]->in_child();
}

int sp__os_watch_forks(void)
{
    enum { NOT_YET, BEGUN, DONE };
    static uint32_t state;                                            /* atomic */
    for (uint32_t seen; (seen = sp__load_acquire(&state)) != DONE;) { /* acquire: pairs with the release below */
        /* relaxed: it only decides who does it */
        if (seen == BEGUN || !sp__cas_relaxed(&state, &seen, BEGUN)) {
            sp__os_futex_wait(&state, BEGUN, sp__os_now() + 50000); /* no yield: its thread may have a lower priority */
            continue;
        }
        process = getpid();
        int error = sp__fault_now() ? ENOMEM : pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        sp__store_release(&state, error == 0 ? DONE : NOT_YET); /* release: pairs with the acquire above */
        if (error != 0)
            return error;
    }
    return 0;
}

SP__CONSTRUCTOR static void watch_forks(void)
{
    (void)sp__os_watch_forks(); /* refused only for want of memory; then the first call of the library asks again */
}

bool sp__os_missed_a_fork(void)
{
    return process != getpid();
}

/* ---- the end of a thread ---- */

/* The key is made by the first thread that asks, which may be a constructor's, before any of ours has run. */
enum { NO_KEY, KEY_IN_THE_MAKING, KEY_MADE };
static uint32_t key_state;    /* atomic */
static pthread_key_t end_key; /* set once, before KEY_MADE */

/* An errno value. */
static int make_key(void (*handler)(void *argument))
{
    uint32_t seen = NO_KEY;
    /* acq_rel: and acquire when it fails; pairs with the release below */
    while (!sp__cas_acq_rel(&key_state, &seen, KEY_IN_THE_MAKING)) {
        if (seen == KEY_MADE)
            return 0;
        seen = NO_KEY;
        sp__os_yield();
    }
    int error = sp__fault_now() ? EAGAIN : pthread_key_create(&end_key, handler);
    /* release: publishes the key; pairs with the acquires here and in sp__os_at_thread_end */
    sp__store_release(&key_state, error == 0 ? KEY_MADE : NO_KEY);
    return error;
}

int sp__os_at_thread_end(void (*handler)(void *argument), void *argument)
{
    /* acquire: pairs with the release in make_key */
    int error = sp__load_acquire(&key_state) == KEY_MADE ? 0 : make_key(handler);
    if (error == 0)
        error = sp__fault_now() ? ENOMEM : pthread_setspecific(end_key, argument);
    return error;
}

/* Keys are small numbers, and one that does not exist has no value. */
bool sp__os_other_keys_left(void)
{
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++)
        if (key != end_key && pthread_getspecific(key) != NULL)
            return true;
    return false;
}

/* Of the thread sanitizer, in whose programs nothing may run in a thread that it has forgotten: its own key has a value
   until the last round, and in that its destructor is called before ours. */
extern void __tsan_init(void) __attribute__((weak));

unsigned sp__os_end_rounds(void)
{
    return __tsan_init != NULL ? 3 : 4;
}

/* glibc's, for the destructors of C++; exit() calls them first. */
extern int __cxa_thread_atexit_impl(void (*handler)(void *), void *argument, void *object) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

bool sp__os_before_exit(void (*handler)(void *argument), void *argument)
{
    return __cxa_thread_atexit_impl != NULL && __cxa_thread_atexit_impl(handler, argument, &__dso_handle) == 0;
}

void sp__os_yield(void)
{
    sched_yield();
}
