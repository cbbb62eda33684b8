/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"
static bool never(const mn_opencl_limits *l)
{
    (void)l;
    return false;
}
const mn_opencl_variant mn_opencl_matrix = {.base = {"matrix", NULL, NULL, NULL}, .listed = never};
