/* Atomics with the memory order in the name, so that every order can be read at the call and counted by a tool.

   They work on plain integers and pointers because the public value types (sp_lock, sp_event, ...) are plain integers:
   _Atomic does not exist in C++.  There are no stand-alone fences: ThreadSanitizer does not understand them.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_ATOMIC_H
#define SP_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/annotate.h"

/* Do they tell a program's thread sanitizer what they order?  See annotate.h. */
#define SP__LOUD 1

/* An operation on p that acquires, releases, or both.  p is evaluated twice. */
#define sp__acquiring(p, operation) SP__ACQUIRING_(p, operation, SP__PASTE_(was_, __COUNTER__))
#define SP__PASTE_(a, b) SP__PASTE_NOW_(a, b)
#define SP__PASTE_NOW_(a, b) a##b
#define SP__ACQUIRING_(p, operation, was)                                                                              \
    __extension__({                                                                                                    \
        __auto_type was = (operation);                                                                                 \
        if (SP__LOUD)                                                                                                  \
            SP__TELL_ACQUIRE(p);                                                                                       \
        was;                                                                                                           \
    })
#define sp__releasing(p, operation)                                                                                    \
    __extension__({                                                                                                    \
        if (SP__LOUD)                                                                                                  \
            SP__TELL_RELEASE(p);                                                                                       \
        (operation);                                                                                                   \
    })
#define sp__doing_both(p, operation) sp__acquiring(p, sp__releasing(p, operation))

#define sp__load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define sp__load_acquire(p) sp__acquiring(p, __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define sp__load_seq_cst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)

#define sp__store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sp__store_release(p, v) sp__releasing(p, __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define sp__store_seq_cst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

#define sp__exchange_acquire(p, v) sp__acquiring(p, __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define sp__exchange_release(p, v) sp__releasing(p, __atomic_exchange_n((p), (v), __ATOMIC_RELEASE))
#define sp__exchange_acq_rel(p, v) sp__doing_both(p, __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))

#define sp__add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define sp__add_release(p, v) sp__releasing(p, __atomic_fetch_add((p), (v), __ATOMIC_RELEASE))
#define sp__add_seq_cst(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define sp__sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define sp__sub_acq_rel(p, v) sp__doing_both(p, __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define sp__sub_seq_cst(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define sp__or_relaxed(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define sp__or_seq_cst(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define sp__or_acq_rel(p, v) sp__doing_both(p, __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL))
#define sp__and_relaxed(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define sp__and_seq_cst(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

/* Compare and swap: *p from *expected to value; on failure *expected is what was found, read relaxed unless said. */
#define sp__cas_relaxed(p, expected, value)                                                                            \
    __atomic_compare_exchange_n((p), (expected), (value), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define sp__cas_acquire(p, expected, value)                                                                            \
    sp__acquiring(p, __atomic_compare_exchange_n((p), (expected), (value), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
#define sp__cas_release(p, expected, value)                                                                            \
    sp__releasing(p, __atomic_compare_exchange_n((p), (expected), (value), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
/* On failure the value found is read with acquire: its reader may rely on what was published with it. */
#define sp__cas_acq_rel(p, expected, value)                                                                            \
    sp__doing_both(p, __atomic_compare_exchange_n((p), (expected), (value), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define sp__cas_seq_cst(p, expected, value)                                                                            \
    __atomic_compare_exchange_n((p), (expected), (value), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)

/* Two words that different threads write stand so many bytes apart: cache lines are fetched in pairs. */
#define SP__APART __attribute__((aligned(128)))

/* Tell the core that this is a spin loop. */
static inline void sp__cpu_relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ __volatile__("yield");
#endif
}

#endif
