/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_VULKAN_STAGE_H
#define MN_VULKAN_STAGE_H

#include "backends/vulkan/variants.h"

/* What variants tiled, coopmat and coopmat2 share: shaders/vulkan/attend.glsl. */

enum { MN_VULKAN_WIDEST = 256, MN_VULKAN_WIDEST_OUT = 128 };

/* How a step is cut: the first specialization constants of its shaders, in their order. */
typedef struct mn_vulkan_tiling {
    uint32_t width, out, dtype, rows, columns, threads, lanes;
    uint32_t chunks; /* parts into which the features of the outputs are cut */
} mn_vulkan_tiling;

/* Whether the device has subgroups as the shaders with cooperative matrices need them. */
bool mn_vulkan_sized_subgroups(const mn_vulkan_limits *limits, const char *variant,
                               mn_reason *reason);

/* Whether the shaders can run a step at all: its features, elements and counts. */
bool mn_vulkan_stage_fits(const mn_step *step, const mn_vulkan_limits *limits, const char *variant,
                          mn_reason *reason);

/* Sets width, out, chunks and dtype. */
void mn_vulkan_set_features(const mn_step *step, mn_vulkan_tiling *t);

/*
 * Writes the launches of a run of one step: `base` is the first of five shaders, one for each form
 * in the order of attend.glsl, with the constants that follow those of the tiling. Returns how
 * many.
 */
uint32_t mn_vulkan_stage_launches(const monarch_plan *plan, uint32_t run,
                                  const mn_vulkan_tiling *tiling, const mn_vulkan_shader *base,
                                  mn_vulkan_launch *launches);

#endif
