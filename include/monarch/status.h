/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_STATUS_H
#define MONARCH_STATUS_H

#include <monarch/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Every call that can fail returns one of these. The values are pinned: they are
 * part of the binary interface and never change their meaning.
 */
typedef enum monarch_status {
    MONARCH_OK = 0,
    /* The call itself is wrong and would be wrong on every device. */
    MONARCH_ERROR_INVALID_ARGUMENT = 1,
    /* The call is right, but this device, driver or build cannot do it. */
    MONARCH_ERROR_UNSUPPORTED = 2,
    /* Host or device memory ran out. The device stays usable. */
    MONARCH_ERROR_OUT_OF_MEMORY = 3,
    /* A call into the driver or the operating system failed; the message names it. */
    MONARCH_ERROR_NATIVE = 4,
    /* The device is gone; destroy everything that was made from it. */
    MONARCH_ERROR_DEVICE_LOST = 5,
    /* The process forked after the instance was created; create a new instance. */
    MONARCH_ERROR_FORKED = 6
} monarch_status;

enum { MONARCH_ERROR_MESSAGE_SIZE = 508 };

/*
 * What went wrong, in words: the argument, its value, and what would be accepted.
 * Owned by the caller; every function takes a pointer to one, which may be NULL.
 * Written only on failure. The message is always terminated.
 */
typedef struct monarch_error {
    monarch_status status;
    char message[MONARCH_ERROR_MESSAGE_SIZE];
} monarch_error;

/* The name of a status, e.g. "INVALID_ARGUMENT". Static storage, never NULL. */
MONARCH_API const char *monarch_status_name(monarch_status status);

#ifdef __cplusplus
}
#endif
#endif
