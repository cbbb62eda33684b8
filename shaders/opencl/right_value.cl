/* SPDX-License-Identifier: Apache-2.0 */
/* Variant tiled: the same, and means of the values. */
#define MN_FORM MN_RIGHT_VALUE
#define MN_KERNEL right_value
#include "shaders/opencl/layout.h"
#include "shaders/opencl/rows.clh"
#if defined(MN_ROWS)
#include "shaders/opencl/attend_vector.clh"
#else
#include "shaders/opencl/attend.clh"
#endif
