// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

// Across blocks, first pass: each query's largest score and log2 of its sum.

#define FORM LEFT_STATS
#include "shaders/vulkan/attend.glsl"
