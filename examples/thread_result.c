/* Threads whose results are not lost, and whose errors do not disappear.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct page {
    const char *url;
};

static sp_status fetch(const struct page *in, int *ret_size)
{
    if (in->url[0] != 'h')
        return sp_raise(SP_VALUE_ERROR, "no URL: %s", in->url);
    sp_sleep(0.05);
    *ret_size = (int)sizeof "data";
    return SP_OK;
}
SP_TASK(fetch, struct page, int);

int main(void)
{
    sp_thread *threads[] = { sp_start(fetch, .url = "https://example.com/users"),
                             sp_start(fetch, .url = "https://example.com/posts"), sp_start(fetch, .url = "users") };
    for (int i = 0; i < 3; i++) {
        int size;
        if (sp_join(threads[i], &size, SP_FOREVER) == SP_OK)
            printf("thread %d: %d bytes\n", i, size);
        else
            printf("thread %d failed: %s\n", i, sp_thread_error(threads[i])->message);
        sp_thread_release(threads[i]);
    }
    return 0;
}
