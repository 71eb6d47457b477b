/* Seconds as users give them, to deadlines as the parking lot wants them.

   A deadline is absolute, in nanoseconds of the monotonic clock, computed once at the entry of a call, rounded up and
   saturating.  0 and SP__NEVER are the two ends: passed, and no limit.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_DEADLINE_H
#define SP_PARK_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

#define SP__PASSED INT64_C(0)

/* Of less than what int64 nanoseconds hold. */
int64_t sp__deadline_of(double seconds);
/* SP_NOWAIT, negative numbers and NaN are SP__PASSED; SP_FOREVER and all that int64 cannot hold, 292 years, is SP__NEVER. */
static inline int64_t sp__deadline(double seconds)
{
    return seconds >= 9.2e9 ? SP__NEVER : sp__deadline_of(seconds);
}
bool sp__deadline_passed(int64_t deadline);

/* Written so that -ffast-math cannot remove it. */
static inline bool sp__is_nan(double seconds)
{
    union {
        double value;
        uint64_t bits;
    } u = { .value = seconds };
    return (u.bits & UINT64_C(0x7fffffffffffffff)) > UINT64_C(0x7ff0000000000000);
}

#endif
