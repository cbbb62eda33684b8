// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

// Across blocks: L, and the output.

#define FORM LEFT_OUT
#include "shaders/vulkan/attend.glsl"
