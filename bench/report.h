/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <monarch/monarch.h>

/* What the tool's process ends with, and what its functions return. */
enum tool_status {
    TOOL_OK = 0,
    TOOL_DEVICE = 1, /* a device, its driver or memory failed, or a result was wrong */
    TOOL_USAGE = 2   /* bad command line, bad input, a file that cannot be written */
};

/* The name in front of every message, "monarch" or "monarch run". Keeps the pointer. */
void report_name(const char *name);

/* A place such as "cpu.txt:3" in front of the next messages; NULL ends it. Keeps the pointer. */
void report_place(const char *name);

/* Prints one line on standard error and returns `status`, so that a caller can return it. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same as a warning, which fails nothing. */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A failure that the library reports, with its message; returns the exit status for it. */
int fail_library(monarch_status status, const monarch_error *error);

/* Host memory ran out while it was wanted for `what`; `bytes` 0 = unknown. */
int fail_memory(const char *what, uint64_t bytes);

/* Flushes standard output; a failure of any write to it so far shows here. */
int finish_output(void);

/*
 * A progress line on standard error, replaced by the next one; nothing at all unless
 * standard error is a terminal. `progress_clear` removes it.
 */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress_clear(void);

/* "[1, 12, 384, 64]" in `text`; returns `text`. */
char *shape_text(char *text, size_t capacity, const int64_t *shape, int rank);

#endif
