/* The good lines, which must be silent: without them a case that is rejected proves nothing. */
#include "common.h"
static bool next(void *context, void *ret_arg)
{
    *(int *)ret_arg = 1;
    return context != NULL;
}
int probe(void);
int probe(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 8);
    sp_auto(sp_executor) plain = sp_thread_pool();
    sp_future *a = sp_submit(pool, square, 7);
    sp_future *b = sp_submit(plain, download, .url = "x", .timeout = 2.0);
    sp_submit(pool, tick, SP_NONE);
    sp_submit(pool, tick);
    int y = 0;
    size_t n = 0;
    if (sp_result(a, &y, 1) || sp_result_of(download, b, &n, 1.5))
        return 1;
    sp_auto(sp_executor) here = sp_inline_pool(.seed = 7);
    sp_auto(sp_mapping) lazy = sp_map_lazy(here, square, next, &y, .buffersize = 4);
    if (sp_map_next(lazy, &y, 1.0))
        return 1;
    SP_WITH(&lock) { SP_WITH(&lock) { y++; } }
    { SP_HOLD(&lock); SP_HOLD(&lock); y++; }
    return y;
}
