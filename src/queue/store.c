/* Ring and heap; see store.h.

   SPDX-License-Identifier: MIT */
#include "queue/store.h"

#include <string.h>

#include "os/os.h"

enum { FIRST_CAPACITY = 16 };

void sp__store_init(struct sp__store *store, size_t item_size, sp_queue_order order,
                    int (*compare)(const void *, const void *))
{
    *store = (struct sp__store){ .order = order, .item_size = item_size, .slot_size = item_size, .compare = compare };
    if (order == SP_PRIORITY) { /* items stay aligned for any type, the number stands behind */
        size_t unit = _Alignof(max_align_t);
        store->slot_size = (item_size + sizeof(uint64_t) + unit - 1) / unit * unit;
    }
}

static unsigned char *slot(const struct sp__store *store, size_t index)
{
    return store->slots + index * store->slot_size;
}

/* The slot of the item that came `nth` of those present; ring only. */
static unsigned char *ring_slot(const struct sp__store *store, size_t nth)
{
    size_t index = store->first + nth;
    return slot(store, index < store->capacity ? index : index - store->capacity);
}

bool sp__store_reserve(struct sp__store *store)
{
    if (store->size < store->capacity)
        return true;
    size_t capacity = store->capacity == 0 ? FIRST_CAPACITY : store->capacity * 2;
    if (capacity > SIZE_MAX / store->slot_size)
        return false;
    unsigned char *slots = sp__os_alloc(capacity * store->slot_size);
    if (slots == NULL)
        return false;
    size_t tail = store->capacity - store->first; /* items before the ring wraps; the heap has first == 0 */
    if (store->size > 0) {
        memcpy(slots, slot(store, store->first), tail * store->slot_size);
        memcpy(slots + tail * store->slot_size, store->slots, store->first * store->slot_size);
    }
    sp__os_free(store->slots);
    store->slots = slots;
    store->capacity = capacity;
    store->first = 0;
    return true;
}

static uint64_t number_of(const struct sp__store *store, const unsigned char *at)
{
    uint64_t number;
    memcpy(&number, at + store->slot_size - sizeof number, sizeof number);
    return number;
}

static bool leaves_before(const struct sp__store *store, const unsigned char *a, const unsigned char *b)
{
    int order = store->compare(a, b);
    return order != 0 ? order < 0 : number_of(store, a) < number_of(store, b);
}

static void swap_slots(const struct sp__store *store, size_t a, size_t b)
{
    unsigned char buffer[256], *x = slot(store, a), *y = slot(store, b);
    for (size_t left = store->slot_size; left > 0;) {
        size_t part = left < sizeof buffer ? left : sizeof buffer;
        memcpy(buffer, x, part);
        memcpy(x, y, part);
        memcpy(y, buffer, part);
        x += part;
        y += part;
        left -= part;
    }
}

static void sift_up(struct sp__store *store, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!leaves_before(store, slot(store, index), slot(store, parent)))
            return;
        swap_slots(store, index, parent);
        index = parent;
    }
}

static void sift_down(struct sp__store *store, size_t index)
{
    for (;;) {
        size_t least = index;
        for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < store->size; child++)
            if (leaves_before(store, slot(store, child), slot(store, least)))
                least = child;
        if (least == index)
            return;
        swap_slots(store, index, least);
        index = least;
    }
}

void sp__store_push(struct sp__store *store, const void *item)
{
    uint64_t number = store->puts++;
    if (store->order != SP_PRIORITY) {
        memcpy(ring_slot(store, store->size++), item, store->item_size);
        return;
    }
    unsigned char *last = slot(store, store->size);
    memcpy(last, item, store->item_size);
    memcpy(last + store->slot_size - sizeof number, &number, sizeof number);
    sift_up(store, store->size++);
}

void sp__store_pop(struct sp__store *store, void *ret_item)
{
    store->size--;
    if (store->order == SP_LIFO) {
        memcpy(ret_item, ring_slot(store, store->size), store->item_size);
    } else if (store->order == SP_FIFO) {
        memcpy(ret_item, ring_slot(store, 0), store->item_size);
        store->first = store->first + 1 < store->capacity ? store->first + 1 : 0;
    } else {
        memcpy(ret_item, slot(store, 0), store->item_size);
        if (store->size > 0) {
            memcpy(slot(store, 0), slot(store, store->size), store->slot_size);
            sift_down(store, 0);
        }
    }
}

void sp__store_drop_next(struct sp__store *store, void (*drop)(void *item))
{
    size_t index = store->order == SP_FIFO   ? store->first
                   : store->order == SP_LIFO ? store->first + store->size - 1
                                             : 0;
    if (store->order == SP_LIFO && index >= store->capacity)
        index -= store->capacity;
    unsigned char *item = slot(store, index);
    if (store->order == SP_FIFO)
        store->first = store->first + 1 < store->capacity ? store->first + 1 : 0;
    store->size--;
    drop(item);
    if (store->order == SP_PRIORITY && store->size > 0) {
        memcpy(item, slot(store, store->size), store->slot_size);
        sift_down(store, 0);
    }
}

void sp__store_free(struct sp__store *store)
{
    sp__os_free(store->slots);
    store->slots = NULL;
    store->capacity = store->first = store->size = 0;
}
