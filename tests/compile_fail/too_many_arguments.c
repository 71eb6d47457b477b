/* expect: excess elements */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_submit(pool, square, 7, 8);
    return 0;
}
