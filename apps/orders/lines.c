/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_CAPACITY = 1 << 16 };

bool lines_open(struct lines *lines, int descriptor, int stop_descriptor)
{
    *lines = (struct lines){ .descriptor = descriptor, .stop_descriptor = stop_descriptor };
    lines->capacity = FIRST_CAPACITY;
    lines->buffer = malloc(lines->capacity + 1);
    return lines->buffer != NULL;
}

bool lines_open_text(struct lines *lines, const char *text)
{
    *lines = (struct lines){ .descriptor = -1, .stop_descriptor = -1, .ended = true };
    lines->buffer = strdup(text);
    lines->end = lines->capacity = strlen(text);
    return lines->buffer != NULL;
}

void lines_close(struct lines *lines)
{
    free(lines->buffer);
    lines->buffer = NULL;
}

/* Make room behind `end`: move what is left to the front, then grow. */
static bool make_room(struct lines *lines)
{
    if (lines->start > 0) {
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    if (lines->end < lines->capacity)
        return true;
    char *larger = realloc(lines->buffer, 2 * lines->capacity + 1);
    if (larger == NULL)
        return false;
    lines->buffer = larger;
    lines->capacity *= 2;
    return true;
}

/* Read some more, waiting for it or for stop. */
static enum line_status refill(struct lines *lines)
{
    if (!make_room(lines))
        return LINE_ERROR;
    for (;;) {
        struct pollfd ready[2] = { { .fd = lines->descriptor, .events = POLLIN },
                                   { .fd = lines->stop_descriptor, .events = POLLIN } };
        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return LINE_ERROR;
        }
        if (ready[1].revents != 0)
            return LINE_STOPPED;
        ssize_t n = read(lines->descriptor, lines->buffer + lines->end, lines->capacity - lines->end);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return LINE_ERROR;
        lines->ended = n == 0;
        lines->end += (size_t)n;
        return LINE_OK;
    }
}

/* The line [start, start + length) has been found; `next` is where the next one begins. */
static enum line_status take_line(struct lines *lines, size_t length, size_t next, char **ret_text, size_t *ret_length)
{
    bool too_long = lines->skipping || length > LINE_MAX_BYTES;
    lines->skipping = false;
    *ret_text = lines->buffer + lines->start;
    *ret_length = length;
    (*ret_text)[length] = '\0';
    lines->start = next;
    return too_long ? LINE_TOO_LONG : LINE_OK;
}

enum line_status lines_next(struct lines *lines, char **ret_text, size_t *ret_length)
{
    size_t searched = 0;
    for (;;) {
        char *from = lines->buffer + lines->start;
        size_t unread = lines->end - lines->start;
        char *newline = memchr(from + searched, '\n', unread - searched);
        if (newline != NULL) {
            size_t length = (size_t)(newline - from);
            return take_line(lines, length, lines->start + length + 1, ret_text, ret_length);
        }
        if (lines->ended && unread == 0 && !lines->skipping)
            return LINE_END;
        if (lines->ended)
            return take_line(lines, unread, lines->end, ret_text, ret_length);
        searched = unread;
        if (unread > LINE_MAX_BYTES) {
            lines->skipping = true;
            lines->start = lines->end = searched = 0;
        }
        enum line_status status = refill(lines);
        if (status != LINE_OK)
            return status;
    }
}

bool lines_count_rest(struct lines *lines, uint64_t *ret_count)
{
    struct stat about;
    if (!lines->ended && (fstat(lines->descriptor, &about) != 0 || !S_ISREG(about.st_mode)))
        return false;
    /* The stop that makes the caller ask must not end the counting. */
    lines->stop_descriptor = -1;
    uint64_t count = 0;
    char *text;
    size_t length;
    for (;;) {
        enum line_status status = lines_next(lines, &text, &length);
        if (status == LINE_END || status == LINE_ERROR)
            break;
        count++;
    }
    *ret_count = count;
    return true;
}
