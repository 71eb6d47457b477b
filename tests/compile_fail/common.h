/* What the cases share.

   SPDX-License-Identifier: MIT */
#include <spool.h>

struct download {
    const char *url;
    double timeout;
};
static sp_status download(const struct download *in, size_t *bytes)
{
    *bytes = in->url ? 1 : 0;
    return *bytes ? SP_OK : SP_VALUE_ERROR;
}
SP_TASK(download, struct download, size_t);
static int square(int x)
{
    return x * x;
}
SP_FUNCTION(square, int, int);
static sp_status tick(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return SP_OK;
}
SP_TASK(tick, sp_none, sp_none);
static sp_lock lock;
