/* How the tests of deadlocks know how far other threads have got.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_DEADLOCK_ARRIVE_H
#define SP_TESTS_DEADLOCK_ARRIVE_H

#include <stdbool.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"

static sp_semaphore arrived;

static inline void arrive(void)
{
    if (sp_semaphore_release(&arrived, 1) != SP_OK)
        _exit(97);
}

static inline bool is_marked(const sp_lock *of)
{
    return sp__load_acquire(&of->sp_word_) >> 63; /* somebody is about to sleep for it */
}

#endif
