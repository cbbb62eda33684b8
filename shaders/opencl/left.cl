/* SPDX-License-Identifier: Apache-2.0 */
/* Variant tiled: means of the queries of a position, in two launches. Compiled once for each. */
#if defined(MN_STATS)
#define MN_FORM MN_LEFT_STATS
#define MN_KERNEL left_stats
#else
#define MN_FORM MN_LEFT_MEAN
#define MN_KERNEL left_mean
#endif
#include "shaders/opencl/layout.h"
#include "shaders/opencl/rows.clh"
#if defined(MN_ROWS)
#include "shaders/opencl/attend_vector.clh"
#else
#include "shaders/opencl/attend.clh"
#endif
