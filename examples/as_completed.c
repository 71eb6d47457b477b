/* Three tasks of 3, 1 and 2 seconds, taken in the order in which they end: slow_task of "Python Threading Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

#define SECOND 0.1 /* ten times faster than the document's */

struct text {
    char chars[32];
};
static sp_status slow_task(const int *n, struct text *ret)
{
    sp_sleep(*n * SECOND);
    snprintf(ret->chars, sizeof ret->chars, "Task %d done", *n);
    return SP_OK;
}
SP_TASK(slow_task, int, struct text);

int main(void)
{
    static const int seconds[] = { 3, 1, 2 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
    sp_future *todo[3];
    for (int i = 0; i < 3; i++)
        todo[i] = sp_submit(pool, slow_task, seconds[i]);

    sp_auto(sp_completion) done = sp_as_completed(todo, 3, SP_FOREVER);
    for (sp_future *future; (future = sp_next(done)) != NULL;) {
        const int *n = sp_future_arg(future); /* what it was submitted with: no dict from future to number is needed */
        struct text result;
        if (sp_result(future, &result, SP_NOWAIT) == SP_OK)
            printf("Task %d: %s\n", *n, result.chars);
        else
            printf("failed: %s\n", sp_future_error(future)->message); /* also when there was no memory to submit it */
    }
    sp_release_all(todo, 3);
    return sp_completion_status(done) == SP_OK ? 0 : 1;
}
