/* Tasks: an ordinary function, and a descriptor.  In C the descriptor is made by SP_TASK and its sisters in sugar.h;
   bindings and C++ write it by hand.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_TASK_H
#define SPOOL_TASK_H

#include <spool/api.h>
#include <spool/status.h>

SP_BEGIN_DECLS_

/* No argument, or no result. */
typedef struct sp_none {
    char sp_unused_;
} sp_none;

/* Data of variable size. */
typedef struct sp_bytes {
    void *data;
    size_t size;
} sp_bytes;

/* How an argument and a result leave the process.  For process pools, which come later. */
typedef struct sp_codec {
    size_t struct_size;
    sp_status (*pack_arg)(const void *arg, sp_bytes *ret_packed);
    sp_status (*unpack_arg)(sp_bytes packed, void *ret_arg);
    sp_status (*pack_result)(const void *result, sp_bytes *ret_packed);
    sp_status (*unpack_result)(sp_bytes packed, void *ret_result);
} sp_codec;

/* The descriptor of a task.  It must live longer than everything that was made from it.  Two descriptors are of the same
   task when name and sizes are equal: a header gives each file its own.

   arg_size, result_size  bytes; both lie in the future as malloc() would align them, not more strictly
   run          the task: reads *arg, writes *result, returns SP_OK or how it failed
   drop_arg     or NULL; called exactly once on the copied argument, at the last release of the future or thread, whether
                the task ran, was cancelled or was rejected
   drop_result  or NULL; the same for the result, which is all zero bytes when no task wrote it
   codec        or NULL: the task does not leave the process */
typedef struct sp_task {
    size_t struct_size;
    const char *name, *file;
    size_t arg_size, result_size;
    sp_status (*run)(const void *arg, void *result);
    void (*drop_arg)(void *arg), (*drop_result)(void *result);
    const sp_codec *codec;
    bool arg_is_bytes, result_is_bytes;
} sp_task;

SP_END_DECLS_
#endif
