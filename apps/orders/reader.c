/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"
#include "sample.h"
#include "stop.h"

/* Open the file; a directory can be opened, but not read. */
static int open_file(const char *path)
{
    struct stat about;
    int descriptor = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &about) != 0)
        return -1;
    if (S_ISDIR(about.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    return descriptor;
}

bool reader_open(struct reader *reader, const char *path, char *error, size_t error_size)
{
    *reader = (struct reader){ .descriptor = -1 };
    bool opened;
    if (path == NULL) {
        reader->name = "sample";
        opened = lines_open_text(&reader->lines, sample_orders);
    } else {
        reader->name = strcmp(path, "-") == 0 ? "standard input" : path;
        reader->descriptor = open_file(path);
        if (reader->descriptor < 0) {
            snprintf(error, error_size, "cannot read %s: %s", reader->name, strerror(errno));
            return false;
        }
        opened = lines_open(&reader->lines, reader->descriptor, stop_descriptor());
    }
    reader->seen = seen_open();
    if (opened && reader->seen != NULL)
        return true;
    snprintf(error, error_size, "cannot make a temporary table, or no memory");
    reader_close(reader);
    return false;
}

void reader_close(struct reader *reader)
{
    lines_close(&reader->lines);
    seen_close(reader->seen);
    reader->seen = NULL;
    if (reader->descriptor > STDIN_FILENO)
        close(reader->descriptor);
    reader->descriptor = -1;
}

bool reader_total(const struct reader *reader, uint64_t *ret_lines)
{
    if (reader->descriptor < 0) {
        *ret_lines = SAMPLE_COUNT;
        return true;
    }
    struct stat about;
    off_t at = lseek(reader->descriptor, 0, SEEK_CUR);
    if (fstat(reader->descriptor, &about) != 0 || !S_ISREG(about.st_mode) || at < 0)
        return false;
    struct lines lines;
    bool counted = lines_open(&lines, reader->descriptor, -1) && lines_count_rest(&lines, ret_lines);
    lines_close(&lines);
    return lseek(reader->descriptor, at, SEEK_SET) == at && counted;
}

/* Is the order new to this input and open in the database?  False also when the run has failed. */
static bool is_wanted(struct reader *reader, const char *order_id)
{
    bool is_new, is_final;
    if (!seen_add(reader->seen, order_id, &is_new)) {
        stop_fail("cannot write to the temporary table: %s", seen_error(reader->seen));
        return false;
    }
    if (!is_new) {
        report("%s:%" PRIu64 ": duplicate: order %s was in this input before", reader->name, reader->line_number,
               order_id);
        counts_add(reader->counts, COUNT_DUPLICATES, 1);
        return false;
    }
    if (!store_is_final(reader->store, order_id, &is_final)) {
        stop_fail("cannot read from the database: %s", store_error(reader->store));
        return false;
    }
    if (is_final)
        counts_add(reader->counts, COUNT_SKIPPED, 1);
    return !is_final;
}

static void report_malformed(struct reader *reader, const char *reason)
{
    report("%s:%" PRIu64 ": %s", reader->name, reader->line_number, reason);
    counts_add(reader->counts, COUNT_MALFORMED, 1);
}

/* The order of one line, or NULL if it gives none. */
static struct order *order_of_line(struct reader *reader, char *text, size_t length)
{
    struct order *order = NULL;
    char reason[ORDER_REASON_SIZE];
    switch (order_parse(text, length, &order, reason)) {
    case ORDER_VALID:
    case ORDER_INVALID:
        break;
    case ORDER_MALFORMED:
        report_malformed(reader, reason);
        return NULL;
    case ORDER_NO_MEMORY:
        stop_fail("no memory for an order");
        return NULL;
    }
    if (is_wanted(reader, order->order_id))
        return order;
    order_free(order);
    return NULL;
}

struct order *reader_next(struct reader *reader)
{
    while (!stop_requested()) {
        char *text;
        size_t length;
        struct order *order = NULL;
        switch (lines_next(&reader->lines, &text, &length)) {
        case LINE_OK:
            reader->line_number++;
            order = order_of_line(reader, text, length);
            break;
        case LINE_TOO_LONG:
            reader->line_number++;
            report_malformed(reader, "the line is longer than 1 MiB");
            break;
        case LINE_END:
        case LINE_STOPPED:
            return NULL;
        case LINE_ERROR:
            stop_fail("cannot read %s: %s", reader->name, strerror(errno));
            return NULL;
        }
        if (order != NULL)
            return order;
    }
    return NULL;
}

bool reader_rest(struct reader *reader, uint64_t *ret_lines)
{
    return lines_count_rest(&reader->lines, ret_lines);
}
