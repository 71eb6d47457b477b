/* Memory: the C library's allocator behind the fault table.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/annotate.h"
#include "os/fault.h"
#include "os/os.h"

/* A program's thread sanitizer takes allocating for a write, and freeing for another: what lies between, in other threads, it
   may not have seen. */
static void *made(void *memory)
{
    SP__TELL_RELEASE(memory);
    return memory;
}

void *sp__os_alloc(size_t size)
{
    return sp__fault_now() ? NULL : made(malloc(size > 0 ? size : 1));
}

void *sp__os_zalloc(size_t size)
{
    return sp__fault_now() ? NULL : made(calloc(1, size > 0 ? size : 1));
}

void *sp__os_alloc_aligned(size_t alignment, size_t size)
{
    void *memory = NULL;
    if (sp__fault_now() || posix_memalign(&memory, alignment, size > 0 ? size : 1) != 0)
        return NULL;
    return made(memory);
}

void *sp__os_zalloc_aligned(size_t alignment, size_t size)
{
    void *memory = sp__os_alloc_aligned(alignment, size);
    return memory != NULL ? memset(memory, 0, size) : NULL;
}

void sp__os_prefer_large_pages(void *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, size, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)size;
#endif
}

#if defined __SANITIZE_ADDRESS__
#define CHECKED 1
#elif defined __has_feature
#define CHECKED __has_feature(address_sanitizer)
#else
#define CHECKED 0
#endif

bool sp__os_recycles(void)
{
#if defined SPOOL_TEST_BUILD
    return !CHECKED && !sp__os_is_watched() && getenv("SPOOL_TEST_PLAIN_MEMORY") == NULL;
#else
    return !CHECKED && !sp__os_is_watched();
#endif
}

void sp__os_free(void *memory)
{
    SP__TELL_ACQUIRE(memory);
    free(memory);
}
