/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_PROBLEM_H
#define MN_CORE_PROBLEM_H

#include <monarch/plan.h>

/* Every check of a descriptor or of execute's arguments lives here or in arguments.c. */

/*
 * Copies a caller's structure of `given` bytes into `known` bytes: a shorter (older) one is
 * filled up with zeros, a longer (newer) one is accepted when what is unknown is zero.
 * `name` is for the message. Errors: INVALID_ARGUMENT.
 */
monarch_status mn_copy_struct(const char *name, const void *source, void *destination,
                              uint32_t known, uint32_t least, monarch_error *error);

/* monarch_problem_resolve is the public form: validate, then fill in defaults. */

#endif
