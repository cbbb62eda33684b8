/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_ERROR_H
#define MN_CORE_ERROR_H

#include <monarch/status.h>

/* Returns from the calling function when `call` fails. */
#define MN_TRY(call)                                                                               \
    do {                                                                                           \
        monarch_status mn_try_status = (call);                                                     \
        if (mn_try_status != MONARCH_OK)                                                           \
            return mn_try_status;                                                                  \
    } while (0)

/* Writes status and message to `error` (may be NULL) and returns the status. */
monarch_status mn_fail(monarch_error *error, monarch_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The messages that many functions share. */
monarch_status mn_fail_memory(monarch_error *error, const char *what);
monarch_status mn_fail_null(monarch_error *error, const char *argument);

#endif
