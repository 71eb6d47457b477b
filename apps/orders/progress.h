/* One line on standard error that says how far the run is.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_PROGRESS_H
#define ORDERS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "counts.h"

struct progress; /* a thread */

/* total_known false: input whose end cannot be seen.  NULL: no thread; the run goes on without. */
struct progress *progress_start(struct counts *counts, bool total_known, uint64_t total);
/* Take the line away.  NULL does nothing. */
void progress_stop(struct progress *progress);

#endif
