// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

// Inside blocks: R, aL/s, cL and y, the mean of values.

#define FORM RIGHT_VALUE
#include "shaders/vulkan/attend.glsl"
