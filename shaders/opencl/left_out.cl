/* SPDX-License-Identifier: Apache-2.0 */
/* Variant tiled: the output, means of a position's values. */
#define MN_FORM MN_LEFT_OUT
#define MN_KERNEL left_out
#include "shaders/opencl/layout.h"
#include "shaders/opencl/rows.clh"
#if defined(MN_ROWS)
#include "shaders/opencl/attend_vector.clh"
#else
#include "shaders/opencl/attend.clh"
#endif
