/* Map gives results in the order of its inputs, although the tasks end in another: the counterpart of as_completed.c.

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
    printf("Task %d ends\n", *n);
    snprintf(ret->chars, sizeof ret->chars, "Task %d done", *n);
    return SP_OK;
}
SP_TASK(slow_task, int, struct text);

int main(void)
{
    static const int seconds[] = { 3, 1, 2 };
    struct text results[3];
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
    if (sp_map(pool, slow_task, seconds, results, 3) != SP_OK)
        return 1;
    for (int i = 0; i < 3; i++)
        printf("Task %d: %s\n", seconds[i], results[i].chars);
    return 0;
}
