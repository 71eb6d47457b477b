/* expect: SP_OPTIONS_|incompatible|requires|expected */
#include "common.h"
static bool next(void *context, void *ret_arg)
{
    *(int *)ret_arg = 1;
    return context != NULL;
}
sp_mapping *probe(sp_executor *pool);
sp_mapping *probe(sp_executor *pool)
{
    (void)lock;
    return sp_map_lazy(pool, square, next, .buffersize = 4);
}
