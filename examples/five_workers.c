/* Five threads at once, each with a number of its own: the first program of "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { WORKERS = 5 };

static sp_status worker(const int *n, sp_none *ret)
{
    (void)ret;
    printf("worker %d starting\n", *n);
    sp_sleep(0.1); /* the work */
    printf("worker %d done\n", *n);
    return SP_OK;
}
SP_TASK(worker, int, sp_none);

int main(void)
{
    sp_thread *threads[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        threads[i] = sp_start(worker, i);
    int done = 0;
    for (int i = 0; i < WORKERS; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) == SP_OK)
            done++;
        sp_thread_release(threads[i]);
    }
    printf("%d of %d joined\n", done, WORKERS);
    return done != WORKERS;
}
