/* Lines of a file, of standard input, or of a text in memory; at most 1 MiB each, the newline not counted.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_LINES_H
#define ORDERS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_MAX_BYTES = 1 << 20 };

/* LINE_STOPPED: the stop descriptor became readable first.  LINE_ERROR: errno. */
enum line_status { LINE_OK, LINE_TOO_LONG, LINE_END, LINE_STOPPED, LINE_ERROR };

/* One thread at a time. */
struct lines {
    int descriptor;      /* -1: all of it is in the buffer */
    int stop_descriptor; /* -1: none */
    bool ended;          /* nothing more to read; the buffer may hold some */
    bool skipping;       /* inside a line that is too long */
    char *buffer;        /* unread bytes are [start, end); one spare byte at the end */
    size_t start, end, capacity;
};

/* The descriptor stays the caller's.  False: no memory. */
bool lines_open(struct lines *lines, int descriptor, int stop_descriptor);
bool lines_open_text(struct lines *lines, const char *text);
void lines_close(struct lines *lines);

/* The next line, ended by a 0 byte, which the caller may change; valid until the next call. */
enum line_status lines_next(struct lines *lines, char **ret_text, size_t *ret_length);

/* How many lines are left, reading to the end; false if that could take for ever (no regular file). */
bool lines_count_rest(struct lines *lines, uint64_t *ret_count);

#endif
