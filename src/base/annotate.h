/* What the thread sanitizer of a program is told of this library's atomics.

   A program that is built with -fsanitize=thread is watched together with the library that it is linked with.  The library
   itself is usually not built so: its atomics are unseen, and everything that they order would be reported as a race of the
   program's.  So releases and acquires are told to the sanitizer, if there is one: its functions are weak here.  Without it
   that costs a comparison and a jump that is never taken.  A library that is built with the sanitizer needs none of it.

   Those of base/atomic.h that are called acquire, release or acq_rel tell by themselves.  Those that are called seq_cst do
   not: nearly all of them decide who looks first, and where one publishes data of the user's it says so beside.  Where
   operations are too short for it SP__LOUD is 0, and each of them tells once.

   The build includes this file first in every file of the library (CMakeLists.txt), because the inline part of
   <spool/lock.h>, which is compiled into the library, too, uses SP_BEFORE_RELEASE_ and SP_AFTER_ACQUIRE_.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_ANNOTATE_H
#define SP_BASE_ANNOTATE_H

#include <stddef.h>

#if !defined __SANITIZE_THREAD__
#if !defined __has_feature
#define SP__TELLS 1
#elif !__has_feature(thread_sanitizer)
#define SP__TELLS 1
#endif
#endif

/* With SP__TELL_(release, word) the sanitizer takes what the caller did before for seen by whoever does SP__TELL_(acquire, word)
   afterwards, with the same word: a number, which is not looked at.  In assembly for the usual processors: the compiler must not
   see a call, which would cost the shortest functions a frame.  sp__tell_*_saving, in os/tell.c, keep all registers.  */
#ifdef SP__TELLS
extern void __tsan_release(void *address) __attribute__((weak));
extern void __tsan_acquire(void *address) __attribute__((weak));

/* Is there a thread sanitizer that does not see us? */
#define SP__WATCHED __builtin_expect(__tsan_acquire != NULL, 0)
#if defined __x86_64__
/* 128: what a function may use below its stack pointer; 8 more for the word */
#define SP__TELL_(name, word)                                                                                          \
    __asm__ __volatile__(".weak __tsan_" #name "\n\tcmpq $0, __tsan_" #name "@GOTPCREL(%%rip)\n\tjne 772f\n771:\n\t"   \
                         ".subsection 1\n772:\n\tlea -128(%%rsp), %%rsp\n\tpush %0\n\tcall sp__tell_" #name            \
                         "_saving\n\t"                                                                                 \
                         "lea 136(%%rsp), %%rsp\n\tjmp 771b\n\t.previous"                                              \
                         :                                                                                             \
                         : "r"(word)                                                                                   \
                         : "memory", "cc")
#elif defined __aarch64__
#define SP__TELL_(name, word)                                                                                          \
    __extension__({                                                                                                    \
        const void *scratch_;                                                                                          \
        __asm__ __volatile__(".weak __tsan_" #name "\n\tadrp %0, :got:__tsan_" #name                                   \
                             "\n\tldr %0, [%0, :got_lo12:__tsan_" #name "]\n\tcbnz %0, 772f\n771:\n\t"                 \
                             ".subsection 1\n772:\n\tstp x29, x30, [sp, #-32]!\n\tstr %1, [sp, #16]\n\t"               \
                             "bl sp__tell_" #name "_saving\n\tldp x29, x30, [sp], #32\n\tb 771b\n\t.previous"          \
                             : "=&r"(scratch_)                                                                         \
                             : "r"(word)                                                                               \
                             : "memory", "cc", "x16", "x17");                                                          \
    })
#else
#define SP__TELL_(name, word) (SP__WATCHED ? __tsan_##name((void *)(word)) : (void)0)
#endif
#else
#define SP__WATCHED 0
#define SP__TELL_(name, word) ((void)(word))
#endif

/* Before a release, and after an acquire, which may have let others free the word. */
#define SP__TELL_RELEASE(word) SP__TELL_(release, word)
#define SP__TELL_ACQUIRE(word) SP__TELL_(acquire, word)
#ifndef SPOOL_LOCK_H
#define SP_BEFORE_RELEASE_(word) SP__TELL_RELEASE(word)
#define SP_AFTER_ACQUIRE_(word) SP__TELL_ACQUIRE(word)
#endif

#endif
