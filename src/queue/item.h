/* Copying items, which are bytes of one size.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_ITEM_H
#define SP_QUEUE_ITEM_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/copy.h"
#include "os/os.h"

/* After a compare-and-swap that another thread won: who has the cache line does several operations before we want it. */
static inline void sp__back_off(unsigned tries)
{
    for (unsigned i = 0; i < 1u << (tries < 5 ? tries : 5); i++)
        sp__cpu_relax();
}

/* What becomes of an item that leaves: it is copied to `to`, or, without `to`, given to `drop` where it lies. */
struct sp__taker {
    void *to;
    void (*drop)(void *item);
    size_t size;
};

/* The same two with a word to a program's thread sanitizer: what happens to the item in a slot comes after what happened to
   the last one there.  The words of the slots themselves are not SP__LOUD, see base/annotate.h. */
void sp__put_item_watched(void *slot, const void *item, size_t size);
void sp__take_item_watched(const struct sp__taker *taker, void *from);

/* Out of line, like the two above: this is rare. */
void sp__drop_item(void (*drop)(void *item), void *item);

static inline void sp__put_item(void *slot, const void *item, size_t size)
{
    if (SP__WATCHED)
        sp__put_item_watched(slot, item, size);
    else
        sp__copy(slot, item, size);
}

static inline void sp__take_item(const struct sp__taker *taker, void *from)
{
    if (SP__WATCHED)
        sp__take_item_watched(taker, from);
    else if (taker->to != NULL)
        sp__copy(taker->to, from, taker->size);
    else
        sp__drop_item(taker->drop, from);
}

/* Where an item stands behind a word in a slot, so that `drop` finds it aligned. */
static inline size_t sp__item_offset(size_t item_size)
{
    return item_size % 16 == 0 ? 16 : 8;
}

static inline size_t sp__slot_size(size_t item_size)
{
    size_t unit = sp__item_offset(item_size);
    return unit + (item_size + unit - 1) / unit * unit;
}

#endif
