/* Linux futex: FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock, so that a wait that was interrupted
   continues with the time it has left.  See futex(2).

   Where the system refuses the call (a sandbox), a wait sleeps for a millisecond at a time, and its caller looks at the word
   in between: slow, but every wait ends as it should.  syscall() is used also for the sleep, because libc's nanosleep is a
   cancellation point.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "os/os.h"

/* Of <linux/futex.h>, which a compiler for another C library than the system's may not find. */
enum { FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_PRIVATE_FLAG = 128 };
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu

enum { PAUSE = 1000000 }; /* nanoseconds */

/* An errno value. */
static int wait_in_kernel(const uint32_t *word, uint32_t expected, const struct timespec *limit)
{
    if (sp__fault_futex_now())
        return EPERM;
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    return result == -1 ? errno : 0;
}

/* As sp__os_futex_wait. */
static int wait_without_kernel(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    if (sp__load_relaxed(word) != expected) /* relaxed: the caller looks again, with the order that it needs */
        return 0;
    int64_t now = sp__os_now(), left = deadline - now; /* no overflow: both are positive */
    if (left <= 0)
        return ETIMEDOUT;
    struct timespec pause = { .tv_nsec = (long)(left < PAUSE ? left : PAUSE) };
    if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL) != 0)
        sp__os_yield(); /* refused as well, or interrupted */
    return 0;
}

int sp__os_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec until, *limit = NULL;

    if (sp__fault_spurious_now())
        return 0;
    if (deadline != SP__NEVER) {
        if (deadline <= 0) /* the kernel refuses negative times; the past is the past */
            return ETIMEDOUT;
        until.tv_sec = (time_t)(deadline / 1000000000);
        until.tv_nsec = (long)(deadline % 1000000000);
        limit = &until;
    }
    int error = wait_in_kernel(word, expected, limit);
    /* A thread sanitizer that does not see us keeps signals back until the thread calls a function of the C library that it
       knows, such as the one that tells the time. */
    if (error == EINTR && SP__WATCHED)
        (void)sp__os_now();
    /* EAGAIN (the word has changed) and EINTR (a signal was handled) are "look again" to the caller. */
    if (error == 0 || error == EAGAIN || error == EINTR)
        return 0;
    return error == ETIMEDOUT ? ETIMEDOUT : wait_without_kernel(word, expected, deadline);
}

void sp__os_futex_wake(const uint32_t *word, int count)
{
    /* EFAULT is fine: the sleeper is gone and so is its memory. */
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
