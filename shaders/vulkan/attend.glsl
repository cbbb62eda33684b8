// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ATTEND_GLSL
#define MN_VULKAN_ATTEND_GLSL

// Every stage is the same pass over a score matrix, in units of log2: for each row the largest
// score, the sum of 2^(score - largest), and that sum weighted by the rows of one or two operands.
//
//   FORM         rows            columns        score less     outputs
//   RIGHT        queries (k,j)   keys (k,i)     -              mean of keys, cL
//   RIGHT_VALUE  queries (k,j)   keys (k,i)     -              mean of keys, cL, mean of values
//   LEFT_STATS   queries (l,j)   key means k    cL             largest and log2 of the sum
//   LEFT_MEAN    key means k     queries (l,j)  cL, stats      mean of queries, cR if asked
//   LEFT_OUT     queries (l,j)   key means k    cL             mean of values
//
// A work-group holds ROWS rows and walks over the columns in tiles of COLUMNS, with an online
// softmax. Each row of a tile of scores belongs to LANES neighbouring invocations of a subgroup.
// The two products are those of tile_fma.glsl (variant tiled) or tile_matrix.glsl (coopmat).

#define RIGHT 0
#define RIGHT_VALUE 1
#define LEFT_STATS 2
#define LEFT_MEAN 3
#define LEFT_OUT 4

#include "shaders/vulkan/operand.glsl"

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 5) in;
layout(constant_id = 0) const int WIDTH = 64;   // features of queries and keys, rounded up to 16
layout(constant_id = 1) const int OUT = 64;     // features of an output that a work-group holds
layout(constant_id = 2) const int DTYPE = DTYPE_F16;
layout(constant_id = 3) const int ROWS = 32;
layout(constant_id = 4) const int COLUMNS = 32;
layout(constant_id = 5) const int THREADS = 64; // LANES * ROWS
layout(constant_id = 6) const int LANES = 2;
const int PART = COLUMNS / LANES;               // columns of an invocation's part of its row

const bool IS_RIGHT = FORM == RIGHT || FORM == RIGHT_VALUE;
const bool HAS_MEAN = IS_RIGHT || FORM == LEFT_MEAN;
const bool HAS_RESULT = FORM == RIGHT_VALUE || FORM == LEFT_OUT;
// LEFT_MEAN works on the transposed matrix.
const int ROW_OPERAND = FORM == LEFT_MEAN ? OPERAND_KEYS : OPERAND_QUERIES;
const int COLUMN_OPERAND = FORM == LEFT_MEAN ? OPERAND_QUERIES : OPERAND_KEYS;

// What the work-group works on.
task_place at;
int row_count, column_count, row0; // of the score matrix; the work-group's first row
int chunk_begin;                   // first feature of its part of an output
bool with_mean, with_result, leads; // leads: it also writes what is not cut into chunks

// The invocation's number, so that neighbours are in one subgroup, and its row of the work-group.
int thread, own_row, own_part;

// Softmax of the own row over the columns seen so far. The last two are of the own part until
// finish().
float largest, sum, entropy, row_bias;

// Where the terms of columns lie, in elements.
int64_t bias_begin, bias_step;
float push_scale;
int depth; // features of queries and keys

shared vec4 column_bias[2 * COLUMNS / 4]; // two terms to take off the scores of a column
shared float factors[ROWS];            // by what a row's earlier sums shrink
shared uint any_column;                // whether any column is there

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

layout(buffer_reference, std430, buffer_reference_align = 16) buffer vectors_at {
    uvec4 words;
};
layout(buffer_reference, std430, buffer_reference_align = 8) buffer pairs_at {
    uvec2 words;
};

// The score matrix's row x as an f32 operand has it: one number each.
int64_t scalar_offset(int number, int x)
{
    return row_offset(number, at, x);
}

// cL of row x where rows are blocks: +inf for a block whose keys are all absent.
float row_bias_of(int x)
{
    return load_f32(OPERAND_BIAS, scalar_offset(OPERAND_BIAS, x)) * LOG2_E;
}

#if defined(COOPMAT)
#include "shaders/vulkan/tile_matrix.glsl"
#else
#include "shaders/vulkan/tile_fma.glsl"
#endif

// What is to be taken off the scores of the next tile's columns, on its way to shared memory.
const int BIASES = (COLUMNS + THREADS - 1) / THREADS;
float next_bias[BIASES], next_second[BIASES];

// Begins to load a tile of columns: while the one ahead of it is worked on.
void fetch_tile(rows_view keys, rows_view vals, int first)
{
    fetch_columns(keys, vals, first);
    [[unroll]] for (int i = 0; i < BIASES; i++) {
        int x = first + thread + i * THREADS;
        next_bias[i] = INFINITY;
        next_second[i] = 0.0;
        if (thread + i * THREADS < COLUMNS && is_there(keys.there, x)) {
            next_bias[i] = 0.0;
            if (FORM == LEFT_STATS || FORM == LEFT_OUT)
                next_bias[i] = load_f32(OPERAND_BIAS, bias_begin + x * bias_step) * LOG2_E;
            if (FORM == LEFT_MEAN) {
                next_bias[i] = load_f32(OPERAND_STATS, bias_begin + x * bias_step);
                next_second[i] = load_f32(OPERAND_STATS, bias_begin + x * bias_step + 1);
            }
        }
    }
}

void put_tile()
{
    put_columns();
    [[unroll]] for (int i = 0; i < BIASES; i++) {
        int column = thread + i * THREADS;
        if (column < COLUMNS) {
            column_bias[column / 4][column % 4] = next_bias[i];
            if (FORM == LEFT_MEAN)
                column_bias[(COLUMNS + column) / 4][column % 4] = next_second[i];
            if (!is_infinite(next_bias[i]))
                any_column = 1u;
        }
    }
}

float across_largest(float x)
{
    [[unroll]] for (int step = 1; step < LANES; step *= 2)
        x = max(x, subgroupShuffleXor(x, uint(step)));
    return x;
}

float across_sum(float x)
{
    [[unroll]] for (int step = 1; step < LANES; step *= 2)
        x += subgroupShuffleXor(x, uint(step));
    return x;
}

// Takes in the tile's largest score; returns by what earlier sums shrink.
float raise(float tile_largest)
{
    float before = largest;
    largest = max(before, tile_largest);
    float shrink = is_minus_infinite(before) ? 0.0 : exp2_of(before - largest);
    if (IS_RIGHT && !is_minus_infinite(before))
        entropy = shrink * fma(max(before - largest, -1000.0), sum, entropy);
    sum *= shrink;
    return shrink;
}

// Turns the own part of a tile of raw products into 2^(score - largest) and takes it in. With two
// terms a score is log2 of a probability, and they are taken off one after the other, in the order
// in which they were found: then it is exact where the probability is near 1. A compiler may add
// them up before unless the result is precise.
void softmax_tile()
{
    precise float s[PART];
    float top = -INFINITY;
    [[unroll]] for (int i = 0; i < PART; i += 4) {
        vec4 raw = read_scores(own_row, own_part * PART + i);
        vec4 one = column_bias[(own_part * PART + i) / 4], two = vec4(0.0);
        if (FORM == LEFT_MEAN)
            two = column_bias[(COLUMNS + own_part * PART + i) / 4];
        [[unroll]] for (int j = 0; j < 4; j++) {
            if (FORM == LEFT_MEAN)
                s[i + j] = fma(raw[j], push_scale, -row_bias) - one[j] - two[j];
            else
                s[i + j] = fma(raw[j], push_scale, -one[j]);
            top = max(top, s[i + j]);
        }
    }
    float shrink = raise(across_largest(top));
    float base = is_minus_infinite(largest) ? 0.0 : largest;
    [[unroll]] for (int i = 0; i < PART; i++) {
        float y = s[i] - base;
        s[i] = exp2_of(y);
        sum += s[i];
        if (IS_RIGHT) // down to -inf: 0 * -inf is no number
            entropy = fma(s[i], max(y, -1000.0), entropy);
    }
    write_probabilities(s);
    if (own_part == 0)
        factors[own_row] = shrink;
}

// What is written of the own row beside its means.
void store_scalars(int x, bool empty)
{
    if (FORM == LEFT_STATS) {
        int64_t pair = scalar_offset(OPERAND_STATS, x);
        store_f32(OPERAND_STATS, pair, largest);
        store_f32(OPERAND_STATS, pair + 1, log2_exact(sum));
    }
    // Both terms have one sign, so nothing cancels, however large the scores.
    if (IS_RIGHT)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? INFINITY : LN_2 * (entropy / sum - log2_exact(sum)));
    if (FORM == LEFT_MEAN && push.p.operand[OPERAND_WEIGHT].width > 0)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? 0.0 : exp2_of(largest) * sum);
}

// Absent columns took no part; where there was no other, what a NaN in the row's own query has left
// in the sums does not count either: factor 0 stands for a row of zeros.
void finish()
{
    sum = across_sum(sum);
    if (IS_RIGHT)
        entropy = across_sum(entropy);
    bool empty = any_column == 0u || sum == 0.0 || is_infinite(row_bias);
    if (own_part == 0) {
        factors[own_row] = empty ? 0.0 : 1.0 / sum;
        if (leads && row0 + own_row < row_count)
            store_scalars(row0 + own_row, empty);
    }
    rows_barrier();
    presence written = FORM == LEFT_OUT ? tokens_of(row_count) : all_of(row_count);
    if (HAS_MEAN && with_mean)
        store_mean(view_of(OPERAND_MEAN, written, chunk_begin));
    if (HAS_RESULT && with_result)
        store_result(view_of(OPERAND_RESULT, written, chunk_begin));
}

// Which group, which rows of it, which features of its outputs. False where there is nothing left
// to do: the grid has more work-groups than there are.
bool find_place()
{
    row_count = FORM == LEFT_MEAN ? push.p.columns : push.p.rows;
    column_count = FORM == LEFT_MEAN ? push.p.rows : push.p.columns;
    int64_t index = int64_t(work_group());
    int chunks = push.p.chunks, splits = push.p.row_splits;
    int chunk = int(index % chunks);
    index /= chunks;
    int split = int(index % splits);
    int64_t task = index / splits;
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
    return row0 < row_count;
}

void main()
{
    if (!find_place())
        return;
    thread = int(gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID);
    own_row = thread / LANES;
    own_part = thread % LANES;
    push_scale = push.p.scale;
    depth = push.p.depth;
    if (thread == 0)
        any_column = 0u;
    largest = -INFINITY;
    sum = entropy = row_bias = 0.0;
    if (FORM == LEFT_MEAN)
        row_bias = row0 + own_row < row_count ? row_bias_of(row0 + own_row) : INFINITY;
    load_queries(view_of(ROW_OPERAND, rows_read(), 0));
    rows_view keys = view_of(COLUMN_OPERAND, columns_there(), 0);
    rows_view vals = keys;
    if (HAS_RESULT)
        vals = view_of(OPERAND_VALUES, keys.there, with_result ? chunk_begin : 0);
    if (FORM == LEFT_STATS || FORM == LEFT_OUT) {
        bias_begin = scalar_offset(OPERAND_BIAS, 0);
        bias_step = push.p.operand[OPERAND_BIAS].index;
    } else if (FORM == LEFT_MEAN) {
        bias_begin = scalar_offset(OPERAND_STATS, 0);
        bias_step = push.p.operand[OPERAND_STATS].index;
    }
    fetch_tile(keys, vals, 0);
    for (int first = 0; first < column_count; first += COLUMNS) {
        barrier();
        put_tile();
        barrier();
        if (first + COLUMNS < column_count)
            fetch_tile(keys, vals, first + COLUMNS);
        tile_scores();
        rows_barrier();
        softmax_tile();
        rows_barrier();
        tile_accumulate(first > 0, min(column_count - first, COLUMNS));
    }
    finish();
}

#endif
