/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_ABI_H
#define MN_CORE_ABI_H

#include <monarch/status.h>

/*
 * Public structures start with struct_size, so that programs and libraries of different age
 * understand each other.
 */

/*
 * Copies a caller's structure into `known` bytes at `destination`: a shorter (older) one of at
 * least `least` bytes is filled up with zeros, a longer (newer) one is accepted when the bytes
 * this library does not know are zero. Errors: INVALID_ARGUMENT, naming the structure `name`.
 */
monarch_status mn_copy_struct(const char *name, const void *source, void *destination,
                              uint32_t known, uint32_t least, monarch_error *error);

/* Copies a filled structure of `known` bytes out to a caller who may know fewer or more. */
monarch_status mn_copy_out(const char *name, void *destination, const void *source, uint32_t known,
                           monarch_error *error);

#endif
