/* expect: requires 3 arguments|too few arguments */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    if (sp_result(a, 1.0))
        return 1;
    return 0;
}
