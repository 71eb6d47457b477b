/* expect: max_worker */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_thread_pool(.max_worker = 8);
    return 0;
}
