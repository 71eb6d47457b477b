/* Memory: the C library's allocator behind the fault table.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/annotate.h"
#include "os/fault.h"
#include "os/os.h"

/* A program's thread sanitizer takes allocating for a write, and freeing for another: what lies between, in other threads, it
   may not have seen. */
static void *made(void *memory)
{
    SP__TELL_RELEASE(memory);
    sp__fault_made(memory);
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

#ifdef MADV_HUGEPAGE
enum { LARGE_PAGES = MADV_HUGEPAGE, SMALL_PAGES = MADV_NOHUGEPAGE };
#else
enum { LARGE_PAGES = MADV_NORMAL, SMALL_PAGES = MADV_NORMAL };
#endif

void sp__os_prefer_large_pages(void *memory, size_t size)
{
    (void)madvise(memory, size, LARGE_PAGES);
}

void sp__os_prefer_small_pages(void *memory, size_t size)
{
    (void)madvise(memory, size, SMALL_PAGES);
}

/* The system would round the end up, and so take what is behind it. */
void sp__os_give_up_pages(void *memory, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), address = (uintptr_t)memory;
    size_t before = -address & (page - 1);
    if (size < before + page || sp__fault_now())
        return;
    (void)madvise((char *)memory + before, (size - before) & ~(page - 1), MADV_DONTNEED);
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
    sp__fault_freed(memory);
    free(memory);
}
