/* How many attempts in a row have failed, per order id: a hash table of those that fail at the moment.

   An id that got an answer is forgotten, so the table does not grow with the number of orders.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_ATTEMPTS_H
#define ORDERS_ATTEMPTS_H

#include <stddef.h>

struct attempt_entry;

enum { ATTEMPT_CHAINS = 4096 };

/* All bytes zero: empty.  One thread only. */
struct attempts {
    struct attempt_entry *chains[ATTEMPT_CHAINS];
};

unsigned attempts_of(const struct attempts *attempts, const char *order_id);
/* 0 forgets the id.  Without memory the number stays what it was. */
void attempts_note(struct attempts *attempts, const char *order_id, unsigned failed);
void attempts_clear(struct attempts *attempts);

#endif
