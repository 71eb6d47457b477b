/* Which order ids this input has had already: a temporary table on disk, so that memory stays flat.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_SEEN_H
#define ORDERS_SEEN_H

#include <stdbool.h>

struct seen; /* one thread at a time */

/* NULL: it cannot be made. */
struct seen *seen_open(void);
/* Note the id; *ret_new tells whether it was the first time.  False: the disk is full, or the like. */
bool seen_add(struct seen *seen, const char *order_id, bool *ret_new);
const char *seen_error(struct seen *seen);
void seen_close(struct seen *seen);

#endif
