// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_PARAMS_GLSL
#define MN_VULKAN_PARAMS_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#if !defined(F32_ONLY)
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
#endif

// GLSL's view of shaders/params.h, field by field; what fields mean is said there. The block of a
// launch lies in a buffer that is made with the plan; what differs from one execution to the next
// comes with the push constants.

const int OPERAND_QUERIES = 0, OPERAND_KEYS = 1, OPERAND_BIAS = 2, OPERAND_VALUES = 3;
const int OPERAND_MEAN = 4, OPERAND_WEIGHT = 5, OPERAND_RESULT = 6, OPERAND_MASK = 7;
const int OPERAND_STATS = 8, OPERAND_COUNT = 9;

const int DTYPE_F32 = 0, DTYPE_F16 = 1, DTYPE_BF16 = 2;
const int KIND_RIGHT = 0, KIND_LEFT = 1, KIND_RIGHT_VALUE = 2, KIND_LEFT_OUT = 3;

struct operand_params {
    uint64_t address; // an offset that executions have turned into push.address
    int64_t batch, head, group, index, feature;
    int width, dtype, head_share, vectors;
};

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer stage_params {
    operand_params operand[OPERAND_COUNT];
    int64_t tasks;
    int64_t tokens;
    int64_t first;
    int64_t token_group, token_index;
    int kind;
    int heads, groups, rows, columns, depth;
    float scale;
    int absent_is_zero;
    int steps, warps, packed, row_splits, column_tile, stages, chunks, backwards;
};

// backends/vulkan/plan.c has the same structure.
layout(push_constant, std430) uniform push_block {
    stage_params p;
    uint64_t first_work_group; // of this dispatch
    uint64_t address[OPERAND_COUNT];
    uint vectors; // bit 1 << operand: rows start at multiples of 16 bytes, features are adjacent
} push;

// The number of this work-group in the launch.
uint64_t work_group()
{
    return push.first_work_group + uint64_t(gl_WorkGroupID.y) * gl_NumWorkGroups.x +
           gl_WorkGroupID.x;
}

#endif
