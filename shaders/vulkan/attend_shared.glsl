// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ATTEND_SHARED_GLSL
#define MN_VULKAN_ATTEND_SHARED_GLSL

// Variant coopmat. Scores pass through shared memory, where each row of a tile of them belongs to
// LANES neighbouring invocations of a subgroup. The two products are those of tile_matrix.glsl.

#include "shaders/vulkan/row.glsl"

const int PART = COLUMNS / LANES; // columns of an invocation's part of its row

int own_row, own_part; // the invocation's row of the work-group, and its part of it
float row_bias;        // with LEFT_MEAN, what is to be taken off all scores of the row
// The sums of row.glsl are of the own part until finish().

shared vec4 column_bias[2 * COLUMNS / 4]; // two terms to take off the scores of a column
shared float factors[ROWS];            // by what a row's earlier sums shrink
shared uint any_column;                // whether any column is there

#include "shaders/vulkan/tile_matrix.glsl"

// What is to be taken off the scores of a tile's columns, on its way to shared memory.
const int BIASES = (COLUMNS + THREADS - 1) / THREADS;
float next_bias[BIASES], next_second[BIASES];

void fetch_tile(rows_view keys, rows_view vals, int first)
{
    fetch_columns(keys, vals, first);
    [[unroll]] for (int i = 0; i < BIASES; i++) {
        int column = thread + i * THREADS;
        if (column < COLUMNS) {
            vec2 terms = terms_of(keys.there, first + column);
            next_bias[i] = terms.x;
            next_second[i] = terms.y;
        }
    }
}

void put_tile(rows_view keys, rows_view vals, int first)
{
    put_columns(keys, vals, first);
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

// Absent columns took no part; where there was no other, what a NaN in the row's own query has left
// in the sums does not count either: factor 0 stands for a row of zeros.
void finish()
{
    rows_barrier(); // the last tile's factors have been read
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

void main()
{
    if (!find_place())
        return;
    thread = int(gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID);
    own_row = thread / LANES;
    own_part = thread % LANES;
    if (thread == 0)
        any_column = 0u;
    largest = -INFINITY;
    sum = entropy = row_bias = 0.0;
    if (FORM == LEFT_MEAN)
        row_bias = row0 + own_row < row_count ? row_bias_of(row0 + own_row) : INFINITY;
    rows_view keys = view_of(COLUMN_OPERAND, columns_there(), 0);
    rows_view vals = keys;
    if (HAS_RESULT)
        vals = view_of(OPERAND_VALUES, keys.there, with_result ? chunk_begin : 0);
    load_queries(view_of(ROW_OPERAND, rows_read(), 0));
    for (int first = 0; first < column_count; first += COLUMNS) {
        fetch_tile(keys, vals, first);
        barrier();
        put_tile(keys, vals, first);
        barrier();
        tile_scores();
        rows_barrier();
        softmax_tile();
        rows_barrier();
        tile_accumulate(keys, vals, first);
    }
    finish();
}

#endif
