/* A bounded queue written by hand: a ring, a mutex, a condition for each side.

   The including file includes a monitor first.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_MONITOR_RING_H
#define BENCH_MONITOR_RING_H

#include "../bench.h"

typedef struct the_queue {
    the_mutex mutex;
    the_condition not_empty, not_full;
    size_t head, length, capacity;
    uint64_t *items;
} the_queue;

static void the_queue_init(the_queue *queue, size_t capacity)
{
    bench_check(capacity > 0, "a ring is bounded");
    the_mutex_init(&queue->mutex);
    the_condition_init(&queue->not_empty);
    the_condition_init(&queue->not_full);
    queue->head = queue->length = 0;
    queue->capacity = capacity;
    queue->items = (uint64_t *)calloc(capacity, sizeof *queue->items);
    bench_check(queue->items != NULL, "no memory");
}

static inline size_t slot(const the_queue *queue, size_t place)
{
    return place < queue->capacity ? place : place - queue->capacity;
}

static inline void the_queue_put(the_queue *queue, uint64_t item)
{
    the_mutex_lock(&queue->mutex);
    while (queue->length == queue->capacity)
        the_condition_wait(&queue->not_full, &queue->mutex);
    queue->items[slot(queue, queue->head + queue->length)] = item;
    queue->length++;
    the_mutex_unlock(&queue->mutex);
    the_condition_notify(&queue->not_empty);
}

static inline uint64_t the_queue_get(the_queue *queue)
{
    the_mutex_lock(&queue->mutex);
    while (queue->length == 0)
        the_condition_wait(&queue->not_empty, &queue->mutex);
    uint64_t item = queue->items[queue->head];
    queue->head = slot(queue, queue->head + 1);
    queue->length--;
    the_mutex_unlock(&queue->mutex);
    the_condition_notify(&queue->not_full);
    return item;
}

#include "../queue.h"

#endif
