/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_MAP_H
#define TESTS_CHECKS_FAKE_MAP_H

#include <stdint.h>

enum { FAKE_AXES = 5 };

/* What a CUtensorMap of the stand-in holds. */
typedef struct fake_map {
    uint64_t address;
    uint64_t extent[FAKE_AXES];
    uint64_t stride[FAKE_AXES - 1]; /* bytes, of the second axis and on */
    uint32_t box[FAKE_AXES];
} fake_map;

#endif
