/* expect: positional initialization|designated */
#include "common.h"
/* gcc only: clang 14 does not know the attribute */
int probe(void);
int probe(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(8, "prefix");
    return pool != NULL;
}
