/* See text.h.

   SPDX-License-Identifier: MIT */
#include "os/text.h"

#include <stdio.h>
#include <string.h>

void sp__text_init(struct sp__text *text)
{
    text->bytes = text->first;
    text->length = 0;
    text->capacity = sizeof text->first;
    text->is_cut = false;
    text->first[0] = '\0';
}

/* Have room for `more` bytes and the zero.  False: no memory. */
static bool reserve(struct sp__text *text, size_t more)
{
    size_t capacity = text->capacity;
    while (capacity - text->length <= more)
        capacity *= 2;
    if (capacity == text->capacity)
        return true;
    char *larger = sp__os_alloc(capacity);
    if (larger == NULL)
        return false;
    memcpy(larger, text->bytes, text->length);
    if (text->bytes != text->first)
        sp__os_free(text->bytes);
    text->bytes = larger;
    text->capacity = capacity;
    return true;
}

/* The text is full, up to its last byte. */
static void cut(struct sp__text *text)
{
    static const char dots[] = "...";
    text->is_cut = true;
    text->length = text->capacity - 1;
    memcpy(text->bytes + text->capacity - sizeof dots, dots, sizeof dots);
}

void sp__text_add_list(struct sp__text *text, const char *format, va_list arguments)
{
    va_list again;
    if (text->is_cut)
        return;
    va_copy(again, arguments);
    int length = vsnprintf(text->bytes + text->length, text->capacity - text->length, format, arguments);
    size_t room = text->capacity - text->length;
    if (length >= 0 && (size_t)length >= room) {
        if (reserve(text, (size_t)length))
            vsnprintf(text->bytes + text->length, text->capacity - text->length, format, again);
        else
            cut(text);
    }
    va_end(again);
    if (length > 0 && !text->is_cut)
        text->length += (size_t)length;
}

void sp__text_add(struct sp__text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sp__text_add_list(text, format, arguments);
    va_end(arguments);
}

void sp__text_free(struct sp__text *text)
{
    if (text->bytes != text->first)
        sp__os_free(text->bytes);
    sp__text_init(text);
}
