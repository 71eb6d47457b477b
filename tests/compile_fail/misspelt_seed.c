/* expect: has no member|does not refer to any field */
#include "common.h"
sp_executor *probe(void);
sp_executor *probe(void)
{
    (void)lock;
    return sp_inline_pool(.sed = 7);
}
