/* A queue without bound written by hand: a list, a mutex, a condition.

   The including file includes a monitor first.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_MONITOR_LIST_H
#define BENCH_MONITOR_LIST_H

#include "../bench.h"

struct node {
    struct node *next;
    uint64_t item;
};

typedef struct the_queue {
    the_mutex mutex;
    the_condition not_empty;
    struct node *first, **end;
} the_queue;

static void the_queue_init(the_queue *queue, size_t capacity)
{
    bench_check(capacity == 0, "a list is not bounded");
    the_mutex_init(&queue->mutex);
    the_condition_init(&queue->not_empty);
    queue->first = NULL;
    queue->end = &queue->first;
}

static inline void the_queue_put(the_queue *queue, uint64_t item)
{
    struct node *node = (struct node *)malloc(sizeof *node);
    bench_check(node != NULL, "no memory");
    node->item = item;
    node->next = NULL;
    the_mutex_lock(&queue->mutex);
    *queue->end = node;
    queue->end = &node->next;
    the_mutex_unlock(&queue->mutex);
    the_condition_notify(&queue->not_empty);
}

static inline uint64_t the_queue_get(the_queue *queue)
{
    the_mutex_lock(&queue->mutex);
    while (queue->first == NULL)
        the_condition_wait(&queue->not_empty, &queue->mutex);
    struct node *node = queue->first;
    queue->first = node->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    the_mutex_unlock(&queue->mutex);
    uint64_t item = node->item;
    free(node);
    return item;
}

#include "../queue.h"

#endif
