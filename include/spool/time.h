/* Time and processors.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_TIME_H
#define SPOOL_TIME_H

#include <spool/api.h>

SP_BEGIN_DECLS_

/* A timeout that never passes; so does everything that int64 nanoseconds cannot hold (292 years). */
#define SP_FOREVER 1e18
/* A timeout that has passed already: ask, do not wait. */
#define SP_NOWAIT 0.0

/* Sleep for at least so many seconds; 0 and less let other threads run.  NaN counts as 0.
   Blocks: yes.  Source: time.sleep. */
SP_API void sp_sleep(double seconds);

/* Seconds of a clock that never jumps; only differences mean anything.  Source: time.monotonic. */
SP_API double sp_monotonic(void);

/* How many processors this process may use: the smallest of the environment variable SPOOL_CPU_COUNT, the affinity mask,
   and the quota of the process's own cgroup and its ancestors (versions 1 and 2, rounded up).  What cannot be read does
   not count.  Never 0.

   The quota is read once, at the first call; variable and mask at each, which takes less than a microsecond.
   Source: os.process_cpu_count (3.13), sched_getaffinity(2), cgroups(7). */
SP_API unsigned sp_cpu_count(void);

SP_END_DECLS_
#endif
