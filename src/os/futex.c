/* Linux futex: FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock, so that a wait that was interrupted
   continues with the time it has left.  See futex(2).

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/os.h"

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
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    /* EAGAIN (the word has changed) and EINTR (a signal was handled) are "look again" to the caller. */
    return result == -1 && errno == ETIMEDOUT ? ETIMEDOUT : 0;
}

void sp__os_futex_wake(const uint32_t *word, int count)
{
    /* EFAULT is fine: the sleeper is gone and so is its memory. */
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
