/* L4 with an event written by hand: a flag, a pthread mutex, a condition variable.

   SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdbool.h>

typedef struct the_signal {
    pthread_mutex_t mutex;
    pthread_cond_t was_set;
    bool set;
} the_signal;

static void the_signal_init(the_signal *event)
{
    pthread_mutex_init(&event->mutex, NULL);
    pthread_cond_init(&event->was_set, NULL);
    event->set = false;
}

static inline void the_signal_give(the_signal *event)
{
    pthread_mutex_lock(&event->mutex);
    event->set = true;
    pthread_cond_broadcast(&event->was_set);
    pthread_mutex_unlock(&event->mutex);
}

static inline void event_clear(the_signal *event)
{
    pthread_mutex_lock(&event->mutex);
    event->set = false;
    pthread_mutex_unlock(&event->mutex);
}

static inline void the_signal_take(the_signal *event)
{
    pthread_mutex_lock(&event->mutex);
    while (!event->set)
        pthread_cond_wait(&event->was_set, &event->mutex);
    pthread_mutex_unlock(&event->mutex);
    event_clear(event);
}

#include "../signal.h"
