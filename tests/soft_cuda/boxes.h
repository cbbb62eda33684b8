/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_BOXES_H
#define TESTS_SOFT_CUDA_BOXES_H

#include <stdint.h>

/* Tensor maps of 16-bit elements in 5 axes, the first one adjacent, and copies of boxes. */

extern "C" {
#include "../checks/fake_cuda/fake_map.h"
}

namespace soft
{

struct place5 {
    int at[FAKE_AXES];
};

struct box {
    fake_map map;
    place5 first;
    unsigned bytes;
};

box box_of(const void *map, const place5 &first);

/* What lies outside the tensor becomes 0. Rows have 128 bytes, whose 16-byte units are exchanged
   as `offset`, the target's in its work-group's memory, tells. */
void copy_box(char *target, uint32_t offset, const box &b);

} // namespace soft

#endif
