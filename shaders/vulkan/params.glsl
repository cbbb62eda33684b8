// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_PARAMS_GLSL
#define MN_VULKAN_PARAMS_GLSL

// With DESCRIPTORS nothing is asked of a device: memory is bound, numbers have 32 bits. What the
// host counts in 64 bits is taken modulo 2^32, which is right where all that is bound is smaller.
#if defined(DESCRIPTORS)
struct wide {
    int low, high;
};
#define LOW(x) ((x).low)
#define index_t int
#else
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
#define wide int64_t
#define LOW(x) (x)
#define index_t int64_t
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
    wide address; // an offset that executions have turned into push.address
    wide batch, head, group, index, feature;
    int width, dtype, head_share, vectors;
};

#define STAGE_PARAMS                                                                               \
    operand_params operand[OPERAND_COUNT];                                                         \
    wide tasks;                                                                                    \
    wide tokens;                                                                                   \
    wide first;                                                                                    \
    wide token_group, token_index;                                                                 \
    int kind;                                                                                      \
    int heads, groups, rows, columns, depth;                                                       \
    float scale;                                                                                   \
    int absent_is_zero;                                                                            \
    int steps, warps, packed, row_splits, column_tile, stages, chunks, backwards;

// backends/vulkan/plan.c has the same structure.
#if defined(DESCRIPTORS)
struct stage_params {
    STAGE_PARAMS
    int unused[6]; // the host's distance between blocks
};
layout(binding = 1, std430) readonly buffer block_list {
    stage_params blocks[];
};
layout(push_constant, std430) uniform push_block {
    wide block; // which one
    wide first_work_group;
    wide address[OPERAND_COUNT]; // in bytes from the start of what is bound
    uint vectors;                // not used
    int depth;                   // see below
} push;
// Read as a whole: code that watches each access takes a software device minutes to compile.
stage_params stage;
#define STAGE stage
void read_stage()
{
    stage = blocks[LOW(push.block)];
}
#else
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer stage_params {
    STAGE_PARAMS
};
layout(push_constant, std430) uniform push_block {
    stage_params p;
    uint64_t first_work_group; // of this dispatch
    uint64_t address[OPERAND_COUNT];
    uint vectors; // bit 1 << operand: rows start at multiples of 16 bytes, features are adjacent
    int depth;    // the block's: as the end of a loop, NVIDIA's driver 580 read 0 from there
} push;
#define STAGE push.p
void read_stage()
{
}
#endif

// The number of this work-group in the launch.
#if defined(DESCRIPTORS)
uint work_group()
{
    return uint(LOW(push.first_work_group)) + gl_WorkGroupID.y * gl_NumWorkGroups.x +
           gl_WorkGroupID.x;
}
#else
uint64_t work_group()
{
    return push.first_work_group + uint64_t(gl_WorkGroupID.y) * gl_NumWorkGroups.x +
           gl_WorkGroupID.x;
}
#endif

#endif
