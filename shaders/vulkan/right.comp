// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

// Inside blocks: R, aL/s and cL.

#define FORM RIGHT
#include "shaders/vulkan/attend.glsl"
