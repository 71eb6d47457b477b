/* What the program says on standard error: whole lines, which do not tear the progress line.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_REPORT_H
#define ORDERS_REPORT_H

/* One line, a newline is added. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Replace the progress line; NULL takes it away for good. */
void report_progress(const char *line);

#endif
