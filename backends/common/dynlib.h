/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_COMMON_DYNLIB_H
#define MN_COMMON_DYNLIB_H

#include <stdbool.h>

#include <monarch/status.h>
#include <monarch/types.h>

/* A function of a library that is opened at run time, and where its address goes. */
typedef struct mn_dynlib_symbol {
    const char *name;
    size_t offset; /* of the pointer in the table */
    bool optional; /* stays NULL where the library lacks it */
} mn_dynlib_symbol;

/*
 * Opens `file` and writes the addresses of its functions to the table, a structure of function
 * pointers. Errors: UNSUPPORTED with the loader's reason, or the function that is missing; then
 * nothing stays open.
 */
monarch_status mn_dynlib_open(const char *file, const mn_dynlib_symbol *symbols, size_t count,
                              void *table, void **handle, monarch_error *error);

/* NULL is allowed. The library's code stays in memory: a driver's threads may still run in it. */
void mn_dynlib_close(void *handle);

#endif
