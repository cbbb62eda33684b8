// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_STAGE_GLSL
#define MN_VULKAN_STAGE_GLSL

// What the shaders of attend.glsl have in common: how a stage is cut, where its rows and columns
// lie and which of them are there.

#include "shaders/vulkan/operand.glsl"

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 5) in;
layout(constant_id = 0) const int WIDTH = 64;   // features, rounded up
layout(constant_id = 1) const int OUT = 64;     // features of an output that a work-group holds
layout(constant_id = 2) const int DTYPE = DTYPE_F16;
layout(constant_id = 3) const int ROWS = 32;
layout(constant_id = 4) const int COLUMNS = 32;
layout(constant_id = 5) const int THREADS = 64;
layout(constant_id = 6) const int LANES = 2;

const bool IS_RIGHT = FORM == RIGHT || FORM == RIGHT_VALUE;
const bool HAS_MEAN = IS_RIGHT || FORM == LEFT_MEAN;
const bool HAS_RESULT = FORM == RIGHT_VALUE || FORM == LEFT_OUT;
// Whether outputs are cut into parts of their features, each for a work-group of its own. Where
// they are not, a compiler knows what follows from that, and inner loops have no branch for it.
const bool CUT = WIDTH > OUT;
// LEFT_MEAN works on the transposed matrix.
const int ROW_OPERAND = FORM == LEFT_MEAN ? OPERAND_KEYS : OPERAND_QUERIES;
const int COLUMN_OPERAND = FORM == LEFT_MEAN ? OPERAND_QUERIES : OPERAND_KEYS;

// What the work-group works on.
task_place at;
int row_count, column_count, row0; // of the score matrix; the work-group's first row
int chunk_begin;                   // first feature of its part of an output
bool with_mean, with_result, leads; // leads: it also writes what is not cut into chunks

int thread; // the number of the invocation, so that neighbours are in one subgroup

// Where the terms of columns lie, in elements.
int64_t bias_begin, bias_step;
float push_scale;

// Which indices of a group are there: begin <= x < end, and not masked.
struct presence {
    int begin, end;
    bool masked;
    uint64_t mask; // of index 0
    int64_t mask_step;
};

bool is_there(presence p, int x)
{
    if (x < p.begin || x >= p.end)
        return false;
    return !p.masked || mask_at(p.mask + uint64_t(x * p.mask_step));
}

presence all_of(int count)
{
    return presence(0, count, false, 0ul, 0l);
}

// Those of `count` indices that are tokens of the sequence. Indices of a block are a run of tokens
// (token_index 1). Of another position only the first or the last block can be absent.
presence tokens_of(int count)
{
    int64_t token0 = at.group * push.p.token_group - push.p.first;
    int64_t after = push.p.tokens - token0; // tokens from index 0 of the group on
    presence there = all_of(count);
    if (push.p.token_index == 1) {
        there.begin = int(max(-token0, int64_t(0)));
        there.end = int(min(after, int64_t(count)));
    } else {
        there.begin = token0 < 0 ? 1 : 0;
        there.end = (count - 1) * push.p.token_index < after ? count : count - 1;
    }
    return there;
}

presence present_of(int count)
{
    presence there = tokens_of(count);
    if (push.p.operand[OPERAND_MASK].width > 0) {
        there.masked = true;
        there.mask = push.address[OPERAND_MASK] + uint64_t(row_offset(OPERAND_MASK, at, 0));
        there.mask_step = push.p.operand[OPERAND_MASK].index;
    }
    return there;
}

// Rows whose queries are read; the others count as zero.
presence rows_read()
{
    if (FORM == LEFT_STATS || FORM == LEFT_OUT)
        return tokens_of(row_count);
    if (IS_RIGHT && push.p.absent_is_zero != 0)
        return present_of(row_count);
    return all_of(row_count);
}

presence columns_there()
{
    if (IS_RIGHT || FORM == LEFT_MEAN)
        return present_of(column_count);
    return all_of(column_count);
}

float exp2_of(float x)
{
    return DTYPE == DTYPE_F32 ? exp2_exact(x) : exp2(x);
}

// Rows of an operand, as the loaders want them.
struct rows_view {
    uint64_t base; // of index 0 and of the first feature that is wanted
    int64_t step;  // bytes
    int width;     // features from there on
    bool vectors;
    presence there;
};

rows_view view_of(int number, presence there, int skipped)
{
    const int size = DTYPE == DTYPE_F32 ? 4 : 2;
    rows_view view;
    view.base = push.address[number] + uint64_t((row_offset(number, at, 0) + skipped) * size);
    view.step = push.p.operand[number].index * size;
    view.width = push.p.operand[number].width - skipped;
    view.vectors = (push.vectors >> number & 1u) != 0u;
    view.there = there;
    return view;
}

// Whether rows first .. first + count are all there with `width` features, can be read 16 bytes at
// a time and are near enough for short arithmetic: the way worth unrolling. What is not whole
// goes by loops that stay loops, so that code which seldom runs stays short.
bool is_whole(rows_view view, int first, int count, int width)
{
    return view.vectors && !view.there.masked && first >= view.there.begin &&
           first + count <= view.there.end && view.width >= width && abs(view.step) < 1 << 24;
}

layout(buffer_reference, std430, buffer_reference_align = 16) buffer vectors_at {
    uvec4 words;
};
layout(buffer_reference, std430, buffer_reference_align = 8) buffer pairs_at {
    uvec2 words;
};

// Where row x lies, counted from `base`, the address of the first row of what is whole.
uint64_t near_row(rows_view view, uint64_t base, int x, int bytes)
{
    return base + uint64_t(int64_t(x * int(view.step) + bytes));
}

uint64_t first_row(rows_view view, int first)
{
    return view.base + uint64_t(first * view.step);
}

// The score matrix's row x as an f32 operand has it: one number each.
int64_t scalar_offset(int number, int x)
{
    return row_offset(number, at, x);
}

// Finds where the terms of columns lie.
void find_terms()
{
    if (FORM == LEFT_STATS || FORM == LEFT_OUT) {
        bias_begin = scalar_offset(OPERAND_BIAS, 0);
        bias_step = push.p.operand[OPERAND_BIAS].index;
    } else if (FORM == LEFT_MEAN) {
        bias_begin = scalar_offset(OPERAND_STATS, 0);
        bias_step = push.p.operand[OPERAND_STATS].index;
    }
}

// What is to be taken off the scores of column x, +inf where it is absent; and a second term of
// LEFT_MEAN.
vec2 terms_of(presence there, int x)
{
    if (!is_there(there, x))
        return vec2(INFINITY, 0.0);
    if (FORM == LEFT_STATS || FORM == LEFT_OUT)
        return vec2(load_f32(OPERAND_BIAS, bias_begin + x * bias_step) * LOG2_E, 0.0);
    if (FORM == LEFT_MEAN)
        return vec2(load_f32(OPERAND_STATS, bias_begin + x * bias_step),
                    load_f32(OPERAND_STATS, bias_begin + x * bias_step + 1));
    return vec2(0.0);
}

// cL of row x where rows are blocks: +inf for a block whose keys are all absent.
float row_bias_of(int x)
{
    return load_f32(OPERAND_BIAS, scalar_offset(OPERAND_BIAS, x)) * LOG2_E;
}

// Which group, which rows of it, which features of its outputs. False where there is nothing left
// to do: the grid has more work-groups than there are.
bool find_place()
{
    row_count = FORM == LEFT_MEAN ? push.p.columns : push.p.rows;
    column_count = FORM == LEFT_MEAN ? push.p.rows : push.p.columns;
    uint64_t index = work_group();
    uint chunks = CUT ? uint(push.p.chunks) : 1u, splits = uint(push.p.row_splits);
    int chunk, split;
    int64_t task;
    if (index >> 31 == 0) { // several times faster
        uint short_index = uint(index);
        chunk = int(short_index % chunks);
        split = int(short_index / chunks % splits);
        task = int64_t(short_index / chunks / splits);
    } else {
        chunk = int(index % chunks);
        split = int(index / chunks % splits);
        task = int64_t(index / chunks / splits);
    }
    if (task >= push.p.tasks)
        return false;
    if (push.p.backwards != 0)
        task = push.p.tasks - 1 - task;
    at = place_of(task);
    row0 = split * ROWS;
    leads = chunk == 0;
    int mean_chunks = HAS_MEAN ? (push.p.operand[OPERAND_MEAN].width + OUT - 1) / OUT : 0;
    with_mean = HAS_MEAN && (chunks == 1 || chunk < mean_chunks);
    with_result = HAS_RESULT && (chunks == 1 || !with_mean);
    chunk_begin = chunks == 1 ? 0 : (with_mean ? chunk : chunk - mean_chunks) * OUT;
    push_scale = push.p.scale;
    find_terms();
    return row0 < row_count;
}

#endif
