/* The bounded FIFO; ring_protocol.h has the protocol and the meaning of its words.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_RING_H
#define SP_QUEUE_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "queue/item.h"

typedef uint64_t sp__ring_word;

struct sp__ring {
    uint64_t capacity, one_lap;           /* set once */
    size_t item_size, slot_size, item_at; /* set once; bytes */
    unsigned char *slots;                 /* set once */
    sp__ring_word tail SP__APART;         /* atomic; putters */
    sp__ring_word head SP__APART;         /* atomic; getters */
};

#define SP__RING_STAMP(ring, index) ((sp__ring_word *)(void *)((ring)->slots + (index) * (ring)->slot_size))
#define SP__RING_ITEM(ring, index) ((ring)->slots + (index) * (ring)->slot_size + (ring)->item_at)
#define SP__RING_WRITE(ring, index, item) sp__put_item(SP__RING_ITEM(ring, index), (item), (ring)->item_size)
#define SP__RING_READ(ring, index, taker) sp__take_item((const struct sp__taker *)(taker), SP__RING_ITEM(ring, index))

#define SP__RING_BACK_OFF(tries) sp__back_off(tries)

/* sp__put_item and sp__take_item tell a program's thread sanitizer what the stamps order. */
#undef SP__LOUD
#define SP__LOUD 0
#include "queue/ring_protocol.h"
#undef SP__LOUD
#define SP__LOUD 1

/* The largest ring, in bytes.  Its pages are touched when they are used. */
#define SP__LARGEST_RING ((size_t)64 << 20)

/* False: no memory.  pre: capacity > 0; sp__ring_fits. */
bool sp__ring_init(struct sp__ring *ring, size_t capacity, size_t item_size);
bool sp__ring_fits(size_t capacity, size_t item_size);
void sp__ring_free(struct sp__ring *ring);

#endif
