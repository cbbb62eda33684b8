/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *command_name = "monarch";
static const char *place;
static int progress_shown;

void report_name(const char *name)
{
    command_name = name;
}

void report_place(const char *name)
{
    place = name;
}

static void print_line(const char *kind, const char *format, va_list arguments)
{
    progress_clear();
    fprintf(stderr, "%s: %s", command_name, kind);
    if (place) {
        fprintf(stderr, "%s: ", place);
    }
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("", format, arguments);
    va_end(arguments);
    return status;
}

void warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("warning: ", format, arguments);
    va_end(arguments);
}

int fail_library(monarch_status status, const monarch_error *error)
{
    int code = status == MONARCH_ERROR_INVALID_ARGUMENT ? TOOL_USAGE : TOOL_DEVICE;
    if (error->message[0] == '\0') {
        return fail(code, "%s", monarch_status_name(status));
    }
    return fail(code, "%s", error->message);
}

int fail_memory(const char *what, uint64_t bytes)
{
    if (bytes == 0) {
        return fail(TOOL_DEVICE, "no memory for %s", what);
    }
    return fail(TOOL_DEVICE, "no memory for %s (%" PRIu64 " bytes)", what, bytes);
}

int finish_output(void)
{
    /* The flush may succeed after an earlier write has failed, hence both. */
    int failed = fflush(stdout) != 0;
    int reason = errno;
    if (failed) {
        return fail(TOOL_USAGE, "cannot write to standard output: %s", strerror(reason));
    }
    if (ferror(stdout)) {
        return fail(TOOL_USAGE, "cannot write to standard output: an earlier write failed");
    }
    return TOOL_OK;
}

void progress(const char *format, ...)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, arguments);
    fflush(stderr);
    va_end(arguments);
    progress_shown = 1;
}

void progress_clear(void)
{
    if (progress_shown) {
        fputs("\r\033[K", stderr);
        progress_shown = 0;
    }
}

char *shape_text(char *text, size_t capacity, const int64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (int i = 0; i < rank && used < capacity; i++) {
        used +=
            (size_t)snprintf(text + used, capacity - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    }
    if (used < capacity) {
        snprintf(text + used, capacity - used, "]");
    }
    return text;
}
