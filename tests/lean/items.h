/* What goes through the queues.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_LEAN_ITEMS_H
#define SP_TESTS_LEAN_ITEMS_H

struct item {
    unsigned key;
    char *owned;
};

/* The drop of a queue: nobody gets it. */
void item_drop(void *item);

#endif
