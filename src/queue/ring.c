/* Making a ring; see ring.h.

   SPDX-License-Identifier: MIT */
#include "queue/ring.h"

#include "os/os.h"

bool sp__ring_fits(size_t capacity, size_t item_size)
{
    return item_size < SP__LARGEST_RING && capacity <= SP__LARGEST_RING / sp__slot_size(item_size);
}

bool sp__ring_init(struct sp__ring *ring, size_t capacity, size_t item_size)
{
    *ring = (struct sp__ring){ .capacity = capacity,
                               .one_lap = 2,
                               .item_size = item_size,
                               .slot_size = sp__slot_size(item_size),
                               .item_at = sp__item_offset(item_size) };
    while (ring->one_lap <= capacity)
        ring->one_lap *= 2;
    ring->slots = sp__os_zalloc(capacity * ring->slot_size);
    return ring->slots != NULL;
}

void sp__ring_free(struct sp__ring *ring)
{
    sp__os_free(ring->slots);
}
