/* Memory: the C library's allocator behind the fault table.

   SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "os/fault.h"
#include "os/os.h"

void *sp__os_alloc(size_t size)
{
    return sp__fault_now() ? NULL : malloc(size > 0 ? size : 1);
}

void *sp__os_zalloc(size_t size)
{
    return sp__fault_now() ? NULL : calloc(1, size > 0 ? size : 1);
}

void sp__os_free(void *memory)
{
    free(memory);
}
