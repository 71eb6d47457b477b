/* What tests that fork share: which sanitizer watches, the end of a child, and the wait for it.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_FORKED_H
#define SP_TESTS_STRESS_FORKED_H

#include "stress.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __has_feature /* clang's way to ask */
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
enum { ADDRESS_SANITIZER = 1 };
/* Its leak check stumbles over the lost threads of the children; its allocator does not survive a fork in its middle. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#else
enum { ADDRESS_SANITIZER = 0 };
#endif
#if defined __SANITIZE_THREAD__ || __has_feature(thread_sanitizer)
enum { THREAD_SANITIZER = 1 }; /* does not know threads that a forked child starts */
/* Each exit would wait for a second. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:atexit_sleep_ms=0";
}
#else
enum { THREAD_SANITIZER = 0 };
#endif

/* Leave out the test that forks, and say so. */
static inline void left_out_if(bool sanitizer)
{
    if (!sanitizer)
        return;
    puts("not under this sanitizer: forks of this test");
    skip();
}

static int well[2]; /* a pipe: each child that is well writes a byte; the reading end does not wait */

/* The end of a child that has done what it had to. */
_Noreturn static inline void leave_well(void)
{
    if (stress_wrong != NULL) {
        fprintf(stderr, "child %d: line %d: not true: %s\n", (int)getpid(), stress_wrong_line, stress_wrong);
        _exit(1);
    }
    if (write(well[1], "", 1) != 1)
        _exit(1);
    exit(0);
}

/* Where does it hang?  Nothing is said where there is no gdb. */
static inline void show_stacks(pid_t child)
{
    extern char **environ;
    char number[16];
    char *arguments[] = { "gdb", "-p", number, "-batch", "-ex", "thread apply all bt", NULL };
    pid_t gdb;
    snprintf(number, sizeof number, "%d", (int)child);
    if (posix_spawnp(&gdb, "gdb", NULL, NULL, arguments, environ) == 0)
        waitpid(gdb, NULL, 0);
}

/* SIGCHLD is blocked.  A child that hangs for so many seconds is killed. */
static inline bool child_is_well(pid_t child, time_t seconds)
{
    struct timespec limit = { seconds, 0 };
    sigset_t one;
    int status = -1;
    char byte;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (sigtimedwait(&one, NULL, &limit) >= 0 || errno == EINTR)
            continue;
        fprintf(stderr, "child %d hung\n", (int)child);
        show_stacks(child);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return false;
    }
    if (WIFEXITED(status) && read(well[0], &byte, 1) == 1)
        return true;
    fprintf(stderr, "child %d: status %x\n", (int)child, (unsigned)status);
    return false;
}

#endif
