/* The error of a thread, which in "Python Threading Is... Weird" disappears, and here does not: the joiner gets it; if
   nobody asks, the excepthook does.  A pool's future gives it to whoever asks for the result.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

static sp_status worker(const sp_none *in, sp_none *ret)
{
    (void)in, (void)ret;
    return sp_raise(SP_VALUE_ERROR, "Oops!");
}
SP_TASK(worker, sp_none, sp_none);

/* The same, caught in the thread. */
static sp_status careful_worker(const sp_none *in, sp_none *ret)
{
    sp_status status = worker(in, ret);
    if (status != SP_OK)
        printf("caught in the thread: %s\n", sp_status_name(status));
    return SP_OK;
}
SP_TASK(careful_worker, sp_none, sp_none);

static void excepthook(sp_thread *thread, const sp_error *error, void *context)
{
    (void)context;
    printf("excepthook: %s: %s: %s\n", sp_thread_name(thread), sp_status_name(error->status), error->message);
}

int main(void)
{
    sp_set_excepthook(excepthook, NULL);

    sp_thread *unasked = sp_start_with(SP_THREAD(.name = "unasked"), worker);
    if (sp_thread_wait(unasked, SP_FOREVER) != SP_OK) /* waits, and does not look at what came out */
        return 1;
    sp_thread_release(unasked);

    sp_auto(sp_thread) asked = sp_start(worker);
    sp_status status = sp_join(asked, NULL, SP_FOREVER);
    if (status != SP_OK)
        printf("joined: %s: %s\n", sp_status_name(status), sp_thread_error(asked)->message);

    sp_auto(sp_thread) careful = sp_start(careful_worker);
    if (sp_join(careful, NULL, SP_FOREVER) != SP_OK)
        return 1;

    sp_auto(sp_executor) pool = sp_thread_pool();
    sp_auto(sp_future) future = sp_submit(pool, worker);
    status = sp_result(future, NULL, SP_FOREVER);
    if (status != SP_OK)
        printf("caught: %s: %s\n", sp_status_name(status), sp_future_error(future)->message);
    return 0;
}
