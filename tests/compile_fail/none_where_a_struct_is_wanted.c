/* expect: sp_unused_ */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_submit(pool, download, SP_NONE);
    return 0;
}
