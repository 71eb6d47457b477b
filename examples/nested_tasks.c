/* A task that waits for tasks of its own pool: no deadlock, even with one worker.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

static sp_executor *pool;

static sp_status fibonacci(const int *n, long *ret);
SP_TASK(fibonacci, int, long);
static sp_status fibonacci(const int *n, long *ret)
{
    if (*n < 2) {
        *ret = *n;
        return SP_OK;
    }
    sp_auto(sp_future) one = sp_submit(pool, fibonacci, *n - 1);
    sp_auto(sp_future) two = sp_submit(pool, fibonacci, *n - 2);
    long a, b;
    sp_status status = sp_result(one, &a, SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(two, &b, SP_FOREVER);
    if (status == SP_OK)
        *ret = a + b;
    return status;
}

int main(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) top = sp_submit(pool, fibonacci, 15);
    long result = 0;
    if (sp_result(top, &result, SP_FOREVER) != SP_OK)
        printf("failed: %s\n", sp_future_error(top)->message);
    printf("fibonacci(15) = %ld, on one worker\n", result);
    sp_status status = sp_shutdown(pool);
    sp_executor_release(pool);
    return status != SP_OK;
}
