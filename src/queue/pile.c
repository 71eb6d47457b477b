/* Ring and heap; see pile.h.

   SPDX-License-Identifier: MIT */
#include "queue/pile.h"

#include <string.h>

#include "os/os.h"

enum { FIRST_CAPACITY = 16 };

void sp__pile_init(struct sp__pile *pile, size_t item_size, sp_queue_order order,
                   int (*compare)(const void *, const void *))
{
    *pile = (struct sp__pile){ .order = order, .item_size = item_size, .slot_size = item_size, .compare = compare };
    if (order == SP_PRIORITY) { /* items stay aligned for any type, the number stands behind */
        size_t unit = _Alignof(max_align_t);
        pile->slot_size = (item_size + sizeof(uint64_t) + unit - 1) / unit * unit;
    }
}

static unsigned char *slot(const struct sp__pile *pile, size_t index)
{
    return pile->slots + index * pile->slot_size;
}

/* The slot of the item that came `nth` of those present; ring only. */
static unsigned char *ring_slot(const struct sp__pile *pile, size_t nth)
{
    size_t index = pile->first + nth;
    return slot(pile, index < pile->capacity ? index : index - pile->capacity);
}

/* False: no memory; then all is as it was. */
static bool resize(struct sp__pile *pile, size_t capacity)
{
    unsigned char *slots = capacity <= SIZE_MAX / pile->slot_size ? sp__os_alloc(capacity * pile->slot_size) : NULL;
    if (slots == NULL)
        return false;
    size_t tail = pile->capacity - pile->first; /* slots before the ring wraps; the heap has first == 0 */
    if (tail > pile->size)
        tail = pile->size;
    if (pile->size > 0) {
        memcpy(slots, slot(pile, pile->first), tail * pile->slot_size);
        memcpy(slots + tail * pile->slot_size, pile->slots, (pile->size - tail) * pile->slot_size);
    }
    sp__os_free(pile->slots);
    pile->slots = slots;
    pile->capacity = capacity;
    pile->first = 0;
    return true;
}

bool sp__pile_reserve(struct sp__pile *pile)
{
    if (pile->size < pile->capacity)
        return true;
    return pile->capacity <= SIZE_MAX / 2 && resize(pile, pile->capacity == 0 ? FIRST_CAPACITY : pile->capacity * 2);
}

/* Give back what a burst has left.  Half of it stays free: so many puts or gets must come before the next resize.  Without
   memory for the smaller one it stays as it is. */
static void shrink(struct sp__pile *pile)
{
    if (pile->capacity > FIRST_CAPACITY && pile->size <= pile->capacity / 4)
        (void)resize(pile, pile->capacity / 2);
}

static uint64_t number_of(const struct sp__pile *pile, const unsigned char *at)
{
    uint64_t number;
    memcpy(&number, at + pile->slot_size - sizeof number, sizeof number);
    return number;
}

static bool leaves_before(const struct sp__pile *pile, const unsigned char *a, const unsigned char *b)
{
    int order = sp__os_call_firmly("the order of a queue", (void (*)(void))pile->compare, a, b);
    return order != 0 ? order < 0 : number_of(pile, a) < number_of(pile, b);
}

static void swap_slots(const struct sp__pile *pile, size_t a, size_t b)
{
    unsigned char buffer[256], *x = slot(pile, a), *y = slot(pile, b);
    for (size_t left = pile->slot_size; left > 0;) {
        size_t part = left < sizeof buffer ? left : sizeof buffer;
        memcpy(buffer, x, part);
        memcpy(x, y, part);
        memcpy(y, buffer, part);
        x += part;
        y += part;
        left -= part;
    }
}

static void sift_up(struct sp__pile *pile, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!leaves_before(pile, slot(pile, index), slot(pile, parent)))
            return;
        swap_slots(pile, index, parent);
        index = parent;
    }
}

static void sift_down(struct sp__pile *pile, size_t index)
{
    for (;;) {
        size_t least = index;
        for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < pile->size; child++)
            if (leaves_before(pile, slot(pile, child), slot(pile, least)))
                least = child;
        if (least == index)
            return;
        swap_slots(pile, index, least);
        index = least;
    }
}

void sp__pile_push(struct sp__pile *pile, const void *item)
{
    uint64_t number = pile->puts++;
    if (pile->order != SP_PRIORITY) {
        memcpy(ring_slot(pile, pile->size++), item, pile->item_size);
        return;
    }
    unsigned char *last = slot(pile, pile->size);
    memcpy(last, item, pile->item_size);
    memcpy(last + pile->slot_size - sizeof number, &number, sizeof number);
    sift_up(pile, pile->size++);
}

void sp__pile_pop(struct sp__pile *pile, void *ret_item)
{
    pile->size--;
    if (pile->order == SP_LIFO) {
        memcpy(ret_item, ring_slot(pile, pile->size), pile->item_size);
    } else if (pile->order == SP_FIFO) {
        memcpy(ret_item, ring_slot(pile, 0), pile->item_size);
        pile->first = pile->first + 1 < pile->capacity ? pile->first + 1 : 0;
    } else {
        memcpy(ret_item, slot(pile, 0), pile->item_size);
        if (pile->size > 0) {
            memcpy(slot(pile, 0), slot(pile, pile->size), pile->slot_size);
            sift_down(pile, 0);
        }
    }
    shrink(pile);
}

void sp__pile_drop_next(struct sp__pile *pile, void (*drop)(void *item))
{
    size_t last = pile->size - 1;
    unsigned char *item = pile->order == SP_PRIORITY ? slot(pile, 0)
                                                     : ring_slot(pile, pile->order == SP_LIFO ? last : 0);
    if (pile->order == SP_FIFO)
        pile->first = pile->first + 1 < pile->capacity ? pile->first + 1 : 0;
    pile->size = last;
    (void)sp__os_call_firmly("a drop function", (void (*)(void))drop, item, NULL);
    if (pile->order == SP_PRIORITY && last > 0) {
        memcpy(item, slot(pile, last), pile->slot_size);
        sift_down(pile, 0);
    }
}

void sp__pile_free(struct sp__pile *pile)
{
    sp__os_free(pile->slots);
    pile->slots = NULL;
    pile->capacity = pile->first = pile->size = 0;
}
