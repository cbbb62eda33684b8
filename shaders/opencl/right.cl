/* SPDX-License-Identifier: Apache-2.0 */
/* Variant tiled: means of the keys of a block, and cL. */
#define MN_FORM MN_RIGHT
#define MN_KERNEL right
#include "shaders/opencl/layout.h"
#include "shaders/opencl/rows.clh"
#if defined(MN_ROWS)
#include "shaders/opencl/attend_vector.clh"
#else
#include "shaders/opencl/attend.clh"
#endif
