// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

// Across blocks, second pass, on the transposed scores: aR/cR.

#define FORM LEFT_MEAN
#include "shaders/vulkan/attend.glsl"
