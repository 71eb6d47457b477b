/* expect: unused-result|ignoring return value */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_post(pool, square, 2);
    return 0;
}
