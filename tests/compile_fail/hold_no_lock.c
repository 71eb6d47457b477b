/* expect: _Generic. selector|not compatible with any */
#include "common.h"
int probe(sp_executor *pool, sp_future *a);
int probe(sp_executor *pool, sp_future *a)
{
    (void)pool;
    (void)a;
    (void)lock;
    int y = 0;
    SP_HOLD(&y);
    return 0;
}
