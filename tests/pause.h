/* Windows held open on purpose: a thread is stopped at an SP__PAUSE of the library (src/base/pause.h) until the test lets it
   go on.

       struct pause *window = pause_at("event: set");  the first to come there stops, unless it is the one that says so
       ... start the thread ...
       pause_await(window);                            it stands there
       ... do what must not do harm ...
       pause_end(window);                              it goes on, and nobody else stops there

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_PAUSE_H
#define SP_TESTS_PAUSE_H

#include "testing.h"

#include <string.h>

#include "base/pause.h"

enum { PAUSES = 16 };

struct pause {
    const char *site; /* NULL: not in use */
    pthread_t tester; /* who has set it */
    bool here;        /* a thread stands there, or did */
    bool goes_on;     /* it may go on */
    bool left;        /* it has gone on */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pause all[PAUSES]; /* guarded by lock */
} pauses = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Under the lock: where the calling thread is to stop, or NULL. */
static inline struct pause *pause_of_caller(const char *site)
{
    for (struct pause *at = pauses.all; at < pauses.all + PAUSES; at++)
        if (at->site != NULL && !at->here && strcmp(at->site, site) == 0 && !pthread_equal(at->tester, pthread_self()))
            return at;
    return NULL;
}

static inline void pause_change(bool *what)
{
    *what = true;
    pthread_cond_broadcast(&pauses.changed);
}

/* The hook. */
static inline void pause_here(const char *site)
{
    pthread_mutex_lock(&pauses.lock);
    struct pause *pause = pause_of_caller(site);
    if (pause != NULL) {
        pause_change(&pause->here);
        while (!pause->goes_on)
            pthread_cond_wait(&pauses.changed, &pauses.lock);
        pause_change(&pause->left);
    }
    pthread_mutex_unlock(&pauses.lock);
}

static inline struct pause *pause_at(const char *site)
{
    struct pause *pause = pauses.all;
    pthread_mutex_lock(&pauses.lock);
    while (pause->site != NULL)
        assert_ptr_not_equal(++pause, pauses.all + PAUSES);
    *pause = (struct pause){ .site = site, .tester = pthread_self() };
    pthread_mutex_unlock(&pauses.lock);
    sp__pause_set(pause_here);
    return pause;
}

static inline bool pause_is_reached(const struct pause *pause)
{
    pthread_mutex_lock(&pauses.lock);
    bool here = pause->here;
    pthread_mutex_unlock(&pauses.lock);
    return here;
}

/* Until `what`, of a pause, is true. */
static inline void pause_await_change(const struct pause *pause, const bool *what)
{
    struct timespec limit;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += test_patience();
    pthread_mutex_lock(&pauses.lock);
    while (!*what && error == 0)
        error = pthread_cond_timedwait(&pauses.changed, &pauses.lock, &limit);
    bool is_true = *what;
    pthread_mutex_unlock(&pauses.lock);
    if (!is_true)
        fail_msg("nobody %s '%s'", what == &pause->here ? "came to" : "went on from", pause->site);
}

/* A thread stands there. */
static inline void pause_await(const struct pause *pause)
{
    pause_await_change(pause, &pause->here);
}

/* The thread that stands there goes on. */
static inline void pause_end(struct pause *pause)
{
    pause_await(pause);
    pthread_mutex_lock(&pauses.lock);
    pause_change(&pause->goes_on);
    pthread_mutex_unlock(&pauses.lock);
    pause_await_change(pause, &pause->left);
    pthread_mutex_lock(&pauses.lock);
    pause->site = NULL;
    pthread_mutex_unlock(&pauses.lock);
}

#endif
