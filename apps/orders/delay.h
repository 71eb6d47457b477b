/* Things that are due later, kept by one thread: a heap of moments.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_DELAY_H
#define ORDERS_DELAY_H

#include <stdbool.h>

struct delay;

/* fire(item) is called by the delay's thread, holding no lock.  NULL: no memory or no thread. */
struct delay *delay_start(void (*fire)(void *item));
/* Fire the item at sp_monotonic() == due.  False: no memory, nothing will happen.  After delay_finish() it is fired
   here. */
bool delay_add(struct delay *delay, void *item, double due);
/* Fire all that is left now, end the thread. */
void delay_finish(struct delay *delay);
void delay_free(struct delay *delay);

#endif
