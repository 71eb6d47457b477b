/* The monotonic clock.  Jumps of the wall clock never reach a wait.

   SPDX-License-Identifier: MIT */
#include <time.h>

#include "os/os.h"

int64_t sp__os_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists and the pointer is good */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
