/* When to ask again.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_RETRY_H
#define ORDERS_RETRY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Who is told to come back later than this gives up. */
#define RETRY_AFTER_MAX 60.0

/* Seconds before retry number n (0 the first): 0.2 × 2^n, at most 5, times `random`, which is in [0, 1): full jitter.
   */
double retry_backoff(unsigned n, double random);

/* Read a Retry-After: seconds, or an HTTP date, of which `now` is subtracted.  A date that is past gives 0.
   False: it is neither. */
bool retry_after_parse(const char *text, time_t now, double *ret_seconds);

#endif
