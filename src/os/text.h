/* A text that is put together piece by piece, for a report: on the heap, because the thread that reports may have a stack of
   16 KiB; without memory it ends early, with three dots.

       struct sp__text text;
       sp__text_init(&text);
       sp__text_add(&text, "%s waits; ", name);
       ... text.bytes ...
       sp__text_free(&text);

   SPDX-License-Identifier: MIT */
#ifndef SP_OS_TEXT_H
#define SP_OS_TEXT_H

#include <stdarg.h>
#include <stddef.h>

#include "os/os.h"

struct sp__text {
    char *bytes; /* `first`, or memory of its own; ends with a zero */
    size_t length, capacity;
    bool is_cut;     /* there was no memory: nothing is added any more */
    char first[256]; /* what can be said without memory */
};

/* pre: *text stays where it is until sp__text_free. */
void sp__text_init(struct sp__text *text);
void sp__text_add(struct sp__text *text, const char *format, ...) SP__PRINTF(2, 3);
void sp__text_add_list(struct sp__text *text, const char *format, va_list arguments) SP__PRINTF(2, 0);
void sp__text_free(struct sp__text *text);

#endif
