/* A bunch of threads that run the same function, and a look from outside at whether they sleep.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CONFORMANCE_BUNCH_H
#define SP_TESTS_CONFORMANCE_BUNCH_H

#include "testing.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"

enum { BUNCH_MOST = 50 };

struct bunch {
    void (*body)(void *context);
    void *context;
    int n;
    pthread_t threads[BUNCH_MOST];
    long system_ids[BUNCH_MOST]; /* atomic; 0: has not come so far */
    uint32_t started, finished;  /* atomic */
};

static inline void *bunch_run(void *arg)
{
    struct bunch *bunch = arg;
    bunch->body(bunch->context);
    sp__add_seq_cst(&bunch->finished, 1);
    return NULL;
}

static inline void *bunch_announce_and_run(void *arg)
{
    struct bunch *bunch = arg;
    uint32_t place = sp__add_seq_cst(&bunch->started, 1);
    sp__store_release(&bunch->system_ids[place], syscall(SYS_gettid));
    return bunch_run(arg);
}

static inline void bunch_start(struct bunch *bunch, int n, void (*body)(void *context), void *context)
{
    *bunch = (struct bunch){ .body = body, .context = context, .n = n };
    for (int i = 0; i < n; i++)
        bunch->threads[i] = test_thread(bunch_announce_and_run, bunch);
}

static inline void bunch_join(struct bunch *bunch)
{
    for (int i = 0; i < bunch->n; i++)
        test_join(bunch->threads[i]);
}

/* Start them and wait for their end. */
static inline void bunch_of(int n, void (*body)(void *context), void *context)
{
    struct bunch bunch;
    bunch_start(&bunch, n, body, context);
    bunch_join(&bunch);
}

static inline uint32_t bunch_finished(const struct bunch *bunch)
{
    return sp__load_acquire(&bunch->finished);
}

/* Does the system say that this thread of ours sleeps?  A thread that ended is nowhere and does not. */
static inline bool thread_sleeps(long system_id)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", system_id);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

static inline bool bunch_sleeps(const struct bunch *bunch)
{
    for (int i = 0; i < bunch->n; i++) {
        long id = sp__load_acquire(&bunch->system_ids[i]);
        if (id == 0 || !thread_sleeps(id))
            return false;
    }
    return true;
}

/* Wait until all of them sleep.  A thread may sleep for a moment for other reasons than the one under test: what a test
   says after this must be true all the same, this makes it a strong test. */
static inline void bunch_await_sleep(const struct bunch *bunch)
{
    test_await(bunch_sleeps(bunch));
}

#endif
