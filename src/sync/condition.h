/* A condition's wait with a deadline instead of seconds, for rooms above that wait in a loop.

   SPDX-License-Identifier: MIT */
#ifndef SP_SYNC_CONDITION_H
#define SP_SYNC_CONDITION_H

#include <spool/sync.h>

/* True: notified.  False: the deadline passed. */
bool sp__condition_wait_until(sp_condition *condition, sp_lock *lock, int64_t deadline);

#endif
