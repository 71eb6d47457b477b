/* A condition's wait with a deadline instead of seconds, and a notify that counts; for rooms above.

   SPDX-License-Identifier: MIT */
#ifndef SP_SYNC_CONDITION_H
#define SP_SYNC_CONDITION_H

#include <spool/sync.h>

/* True: notified.  False: the deadline passed. */
bool sp__condition_wait_until(sp_condition *condition, sp_lock *lock, int64_t deadline);
/* The same for one who looks at its condition again whatever ended the wait, and, without a limit, in the graph of waits by that
   edge.  False: the wait would close a cycle that may be refused. */
struct sp__edge;
bool sp__condition_wait_by(sp_condition *condition, sp_lock *lock, int64_t deadline, struct sp__edge *edge);
/* Notify up to n waiters.  Returns how many there were: a waiter whose time was up just now is not among them. */
size_t sp__condition_wake(sp_condition *condition, size_t n);

#endif
