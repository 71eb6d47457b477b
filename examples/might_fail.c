/* One task of five fails, and its future says so to whoever asks for the result: error handling in "Python Threading Is...
   Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { TASKS = 5 };

static sp_status might_fail(const int *n, int *ret)
{
    if (*n == 2)
        return sp_raise(SP_VALUE_ERROR, "I don't like %d", *n);
    *ret = *n * 2;
    return SP_OK;
}
SP_TASK(might_fail, int, int);

int main(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
    sp_future *futures[TASKS];
    for (int i = 0; i < TASKS; i++)
        futures[i] = sp_submit(pool, might_fail, i);
    for (int i = 0; i < TASKS; i++) {
        int result;
        if (sp_result(futures[i], &result, SP_FOREVER) == SP_OK)
            printf("Task %d: %d\n", i, result);
        else
            printf("Task %d failed: %s\n", i, sp_future_error(futures[i])->message);
    }
    sp_release_all(futures, TASKS);
    return 0;
}
