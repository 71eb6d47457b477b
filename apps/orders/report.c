/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <spool.h>

static sp_lock lock;
static bool progress_shown; /* guarded by lock */

static void clear_progress(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

void report(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    SP_HOLD(&lock);
    clear_progress();
    fprintf(stderr, "%s\n", line);
}

void report_progress(const char *line)
{
    SP_HOLD(&lock);
    if (line == NULL) {
        clear_progress();
        return;
    }
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress_shown = true;
}
