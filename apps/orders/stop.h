/* Why a run ends early: somebody asked (Ctrl-C, SIGTERM), or it cannot go on.

   Process-wide, because signals are.  Every wait that may be long is on stop_event(), or on a queue that closes after
   it.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_STOP_H
#define ORDERS_STOP_H

#include <stdbool.h>

#include <spool.h>

/* Before any other thread is started: take SIGINT and SIGTERM in a thread of their own.  The first one stops the run
   and reports `announcement`, the second ends the process with status 130 at once.  False: errno says why. */
bool stop_watch(const char *announcement);

sp_event *stop_event(void);
bool stop_requested(void);
/* Readable once stop is requested; for those who wait for a descriptor. */
int stop_descriptor(void);

/* Was it a signal? */
bool stop_interrupted(void);
/* The run cannot go on: keep the first reason and stop. */
void stop_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* That reason; NULL: it has not failed. */
const char *stop_failure(void);

#endif
