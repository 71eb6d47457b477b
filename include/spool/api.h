/* How the other headers declare things.  Nothing here is for users, but for three switches:

   SPOOL_NO_SUGAR       leaves out sugar.h, the macros; C++ does without them always.
   SPOOL_NO_MUST_CHECK  lets a status be ignored without a warning.
   SPOOL_NO_INLINE      makes every operation of a lock a call.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_API_H
#define SPOOL_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SP_BEGIN_DECLS_ extern "C" {
#define SP_END_DECLS_ }
#ifndef SPOOL_NO_SUGAR
#define SPOOL_NO_SUGAR 1
#endif
#else
#define SP_BEGIN_DECLS_
#define SP_END_DECLS_
#endif

#define SP_API __attribute__((visibility("default")))

#ifdef SPOOL_NO_MUST_CHECK
#define SP_MUST_CHECK
#else
#define SP_MUST_CHECK __attribute__((warn_unused_result))
#endif

/* An inline part of a function that the library exports as well: calls of it are replaced, its address is the library's.
   SPOOL_NO_INLINE leaves these out. */
#define SP_INLINE_ extern inline __attribute__((gnu_inline))

/* Thread-local, and found without a call.  musl does not let a library that is loaded later have such. */
#ifdef __GLIBC__
#define SP_TLS_ __thread __attribute__((tls_model("initial-exec")))
#else
#define SP_TLS_ __thread
#endif

/* Is the program built with the thread sanitizer? */
#if defined __SANITIZE_THREAD__
#define SP_THREAD_SANITIZER_ 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define SP_THREAD_SANITIZER_ 1
#endif
#endif

#define SP_PRINTF_(format_index, first) __attribute__((format(printf, format_index, first)))

/* On an options struct: sp_thread_pool(8) warns, .max_workers = 8 does not.  gcc; clang 14 does not know the attribute. */
#define SP_KEYWORDS_
#if defined __has_attribute && !defined __cplusplus
#if __has_attribute(designated_init)
#undef SP_KEYWORDS_
#define SP_KEYWORDS_ __attribute__((designated_init))
#endif
#endif

#endif
