/* Three downloads, taken in the order in which they end; the third fails and says why.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct download {
    const char *url;
    double seconds;
};
static sp_status download(const struct download *in, size_t *bytes)
{
    if (in->url == NULL)
        return sp_raise(SP_VALUE_ERROR, "download: .url is required");
    sp_sleep(in->seconds);
    *bytes = 42;
    return SP_OK;
}
SP_TASK(download, struct download, size_t);

int main(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 8);
    sp_future *todo[] = { sp_submit(pool, download, .url = "a.html", .seconds = 0.2),
                          sp_submit(pool, download, .url = "b.html", .seconds = 0.1), sp_submit(pool, download) };
    sp_auto(sp_completion) done = sp_as_completed(todo, 3, 30.0);
    for (sp_future *f; (f = sp_next(done)) != NULL;) {
        const struct download *in = sp_future_arg(f);
        size_t bytes;
        if (sp_result(f, &bytes, SP_NOWAIT) == SP_OK)
            printf("%s: %zu bytes\n", in->url, bytes);
        else
            printf("failed: %s\n", sp_future_error(f)->message);
    }
    sp_release_all(todo, 3);
    return sp_completion_status(done) == SP_OK ? 0 : 1;
}
