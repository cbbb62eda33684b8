/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_VERSION_H
#define MONARCH_VERSION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Two versions. The project version names a release. The API version gives the
 * soname: MAJOR changes when a program must be rebuilt, MINOR when something was
 * added. Structures only ever grow at the end and carry `struct_size`, so an
 * addition does not change MAJOR. The build reads all of them from this file.
 */
#define MONARCH_VERSION_STRING "0.1.0"
#define MONARCH_API_VERSION_MAJOR 0
#define MONARCH_API_VERSION_MINOR 1

#if defined(__GNUC__)
#define MONARCH_API __attribute__((visibility("default")))
#else
#define MONARCH_API
#endif

/* API version of the library that is running: MAJOR * 1000 + MINOR. */
MONARCH_API uint32_t monarch_api_version(void);

/* Project version of the library that is running, e.g. "0.1.0". Static storage. */
MONARCH_API const char *monarch_version_string(void);

#ifdef __cplusplus
}
#endif
#endif
