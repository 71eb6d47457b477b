/* spool: Python's threading, queue and concurrent.futures for C.

   This header includes all others, in reading order.  Each declaration carries its manual page; what holds for every
   call is said once, here.

   Returns   void: cannot fail.  bool: yes or no (where Python returns a bool).  sp_status: several ways to fail (where
             Python raises); SP_OK is 0; must be checked.  Pointer: NULL only for the reason its page gives.  Outputs are
             untouched on failure.
   Time      relative seconds as double, the last parameter.  SP_FOREVER never ends, SP_NOWAIT (0) and negative numbers
             are over at once.  Monotonic clock, rounded up.  NaN is SP_VALUE_ERROR, or counts as passed where there is no
             status to return.
   Options   structs filled by designated initialisers; struct_size first (the macros fill it in; 0 means this version);
             zero means the default.
   NULL      a release of NULL does nothing; other calls say what NULL does.
   Signals   no call is async-signal-safe.  A handled signal never ends a wait early.
   Cancel    pthread_cancel is not honoured: no call is a cancellation point.
   Fork      locks that the forking thread holds are its own in the child; handles made before are closed there; new ones
             work.
   Misuse    gets a defined answer: a status, or one sentence through sp_set_panic_hook().

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_H
#define SPOOL_H

#define SPOOL_VERSION_MAJOR 0
#define SPOOL_VERSION_MINOR 1
#define SPOOL_VERSION_PATCH 0
#define SPOOL_VERSION "0.1.0"

#include <spool/api.h>
#include <spool/status.h>
#include <spool/time.h>
#include <spool/lock.h>
#include <spool/sync.h>
#include <spool/task.h>
#include <spool/thread.h>
#include <spool/queue.h>
#include <spool/future.h>
#include <spool/executor.h>
#include <spool/sugar.h>

#endif
