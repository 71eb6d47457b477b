/* expect: field name not in record|designator in initializer for scalar */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    sp_submit(pool, square, SP_NONE);
    return 0;
}
