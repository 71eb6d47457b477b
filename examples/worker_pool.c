/* Four workers between a queue of tasks and a queue of results, stopped by poison pills: the queue program of the lesson
   "Concurrency: Threading, Multiprocessing & the GIL".

   A pill is an item like any other: it is done, too, when it has been taken.  The document forgets that, and its
   task_queue.join() waits for ever.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <string.h>

enum { WORKERS = 4 };

struct result {
    const char *item;
    size_t length;
};
struct queues {
    sp_queue *tasks;   /* of const char *; NULL is the pill */
    sp_queue *results; /* of struct result */
};

static sp_status worker(const struct queues *in, sp_none *ret)
{
    (void)ret;
    for (;;) {
        const char *item;
        sp_status status = sp_get(in->tasks, &item, SP_FOREVER);
        if (status == SP_OK && item != NULL) {
            struct result result = { item, strlen(item) };
            status = sp_put(in->results, &result, SP_FOREVER);
        }
        if (status == SP_OK)
            status = sp_queue_task_done(in->tasks);
        if (status != SP_OK || item == NULL)
            return status;
    }
}
SP_TASK(worker, struct queues, sp_none);

int main(void)
{
    static const char *const data[] = { "thread", "queue", "future", "event", "semaphore", "barrier" };
    enum { ITEMS = sizeof data / sizeof data[0] };
    sp_auto(sp_queue) tasks = sp_queue_of(const char *);
    sp_auto(sp_queue) results = sp_queue_of(struct result);
    sp_thread *threads[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        threads[i] = sp_start_with(SP_THREAD(.daemon = true), worker, .tasks = tasks, .results = results);

    for (int i = 0; i < ITEMS + WORKERS; i++) {
        const char *item = i < ITEMS ? data[i] : NULL; /* one pill for each */
        if (sp_put(tasks, &item, SP_FOREVER) != SP_OK)
            return 1;
    }
    if (!sp_queue_join(tasks, SP_FOREVER))
        return 1;

    for (struct result result; sp_get(results, &result, SP_NOWAIT) == SP_OK;)
        printf("%s: %zu letters\n", result.item, result.length);
    for (int i = 0; i < WORKERS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    return 0;
}
