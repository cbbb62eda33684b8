// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ATTEND_MATRIX_GLSL
#define MN_VULKAN_ATTEND_MATRIX_GLSL

// Variant coopmat2: what a subgroup knows of its M rows stays in matrices, which
// VK_NV_cooperative_matrix2 lets it reduce, change element by element and convert. A tile of scores
// becomes the left operand of the next products without leaving registers; shared memory holds
// nothing but the tile's columns. A statistic of rows is a matrix in which each row has one value;
// sums over columns are kept as N partial ones and added up at the end.
//
// Matrices are variables of main(), and what works on them stands there: kept outside of it, an
// NVIDIA driver computed wrong sums.
//
// With BF16 the build turns this shader's only 16-bit float type, that of the matrices, into
// bfloat16 (bfloat16.py).

#include "shaders/vulkan/halves.glsl"

#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 7) const int M = 16; // of the device's matrices: sums of M x N, and K = N
layout(constant_id = 8) const int N = 16;

// In words of 16 bytes; rows are one longer than their elements, so that rows read at once meet all
// banks. Rows of queries and of outputs pass through where the columns are before and after.
const int PITCH = WIDTH / 8 + 1, OUT_PITCH = HAS_RESULT ? OUT / 8 + 1 : 0;
const int STORE_PITCH = OUT / 4 + 1;
const int TILE_WORDS = COLUMNS * (PITCH + OUT_PITCH), VALUES_AT = COLUMNS * PITCH;
const int ROW_WORDS = ROWS * (PITCH > STORE_PITCH ? PITCH : STORE_PITCH);
shared uvec4 pool[TILE_WORDS > ROW_WORDS ? TILE_WORDS : ROW_WORDS];
shared float column_terms[2 * COLUMNS]; // to take off the scores of a column
shared float row_terms[ROWS];
shared uint any_column; // whether any column is there

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, M, N, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, N, N, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

const int DEEP = WIDTH / N, ACROSS = COLUMNS / N;
const int MEANS = HAS_MEAN ? OUT / N : 1, RESULTS = HAS_RESULT ? OUT / N : 1;

// Eight features at a time on their way to shared memory.
const int EIGHTS = WIDTH / 8, OUT_EIGHTS = OUT / 8;
const int KEY_LOADS = (COLUMNS * EIGHTS + THREADS - 1) / THREADS;
const int VALUE_LOADS = HAS_RESULT ? (COLUMNS * OUT_EIGHTS + THREADS - 1) / THREADS : 1;
const int TERMS = (COLUMNS + THREADS - 1) / THREADS;
uvec4 next_keys[KEY_LOADS], next_values[VALUE_LOADS];
vec2 next_terms[TERMS];

void rows_barrier()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

int own_rows()
{
    return int(gl_SubgroupID) * M;
}

void fetch_keys(rows_view view, int first)
{
    if (is_whole(view, first, COLUMNS, WIDTH)) {
        uint64_t base = first_row(view, first);
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * EIGHTS)
                next_keys[n] =
                    vectors_at(near_row(view, base, i / EIGHTS, i % EIGHTS * 16)).words;
        }
    } else {
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * EIGHTS)
                next_keys[n] = load_eight(view, first + i / EIGHTS, i % EIGHTS * 8);
        }
    }
}

void fetch_values(rows_view view, int first)
{
    if (is_whole(view, first, COLUMNS, OUT)) {
        uint64_t base = first_row(view, first);
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                next_values[n] =
                    vectors_at(near_row(view, base, i / OUT_EIGHTS, i % OUT_EIGHTS * 16)).words;
        }
    } else {
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                next_values[n] = load_eight(view, first + i / OUT_EIGHTS, i % OUT_EIGHTS * 8);
        }
    }
}

void fetch_tile(rows_view keys, rows_view vals, int first)
{
    fetch_keys(keys, first);
    if (HAS_RESULT && with_result)
        fetch_values(vals, first);
    [[unroll]] for (int n = 0; n < TERMS; n++)
        if (thread + n * THREADS < COLUMNS)
            next_terms[n] = terms_of(keys.there, first + thread + n * THREADS);
}

void put_tile()
{
    [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < COLUMNS * EIGHTS)
            pool[i / EIGHTS * PITCH + i % EIGHTS] = next_keys[n];
    }
    if (HAS_RESULT && with_result)
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                pool[VALUES_AT + i / OUT_EIGHTS * OUT_PITCH + i % OUT_EIGHTS] = next_values[n];
        }
    [[unroll]] for (int n = 0; n < TERMS; n++) {
        int column = thread + n * THREADS;
        if (column < COLUMNS) {
            column_terms[column] = next_terms[n].x;
            if (FORM == LEFT_MEAN)
                column_terms[COLUMNS + column] = next_terms[n].y;
            if (!is_infinite(next_terms[n].x))
                any_column = 1u;
        }
    }
}

// The subgroup's rows and their terms, on their way into matrices.
void put_rows(rows_view view)
{
    for (int i = int(gl_SubgroupInvocationID); i < M * EIGHTS; i += LANES)
        pool[(own_rows() + i / EIGHTS) * PITCH + i % EIGHTS] =
            load_eight(view, row0 + own_rows() + i / EIGHTS, i % EIGHTS * 8);
    if (FORM == LEFT_MEAN && int(gl_SubgroupInvocationID) < M) {
        int row = own_rows() + int(gl_SubgroupInvocationID);
        row_terms[row] = row0 + row < row_count ? row_bias_of(row0 + row) : INFINITY;
    }
    rows_barrier();
}

// Terms are read where they are taken off: of matrices loaded with a stride of 0, each row or each
// column alike, an NVIDIA driver (580.159) got some elements wrong.
int first_column; // of the matrix of scores that is worked on

// A raw product less its column's term.
float score_of(const in uint row, const in uint column, const in float raw)
{
    precise float score = fma(raw, push_scale, -column_terms[first_column + int(column)]);
    return score;
}

float row_term_of(uint row)
{
    return FORM == LEFT_MEAN ? row_terms[own_rows() + int(row)] : 0.0;
}

// A raw product less the terms of its row and its column: a score that is log2 of a probability.
// The two of the column are taken off one after the other, in the order in which they were found:
// then it is exact where the probability is near 1. A compiler may add them up before unless the
// result is precise.
float log_weight_of(const in uint row, const in uint column, const in float raw)
{
    int at = first_column + int(column);
    precise float score =
        fma(raw, push_scale, -row_term_of(row)) - column_terms[at] - column_terms[COLUMNS + at];
    return score;
}

float larger(const in float a, const in float b)
{
    return max(a, b);
}

float plus(const in float a, const in float b)
{
    return a + b;
}

float larger_of(const in uint row, const in uint column, const in float a, const in float b)
{
    return max(a, b);
}

// Where no column has been there yet, nothing must be taken off: -inf less -inf is no number.
float base_of(const in uint row, const in uint column, const in float top)
{
    return is_minus_infinite(top) ? 0.0 : top;
}

float weight_of(const in uint row, const in uint column, const in float score)
{
    return exp2(score);
}

// Down to -inf: 0 * -inf is no number.
float entropy_of(const in uint row, const in uint column, const in float score, const in float p,
                 const in float so_far)
{
    return fma(p, max(score, -1000.0), so_far);
}

// By what earlier sums shrink.
float shrink_of(const in uint row, const in uint column, const in float before,
                const in float after)
{
    return is_minus_infinite(before) ? 0.0 : exp2(before - after);
}

float moved_entropy(const in uint row, const in uint column, const in float before,
                    const in float after, const in float sum_so_far, const in float entropy_so_far)
{
    return is_minus_infinite(before)
               ? 0.0
               : exp2(before - after) *
                     fma(max(before - after, -1000.0), sum_so_far, entropy_so_far);
}

bool is_empty(float total, float term)
{
    return any_column == 0u || total == 0.0 || is_infinite(term);
}

// Absent columns took no part; where there was no other, what a NaN in the row's own query has left
// in the sums does not count either: factor 0 stands for a row of zeros.
float factor_of(const in uint row, const in uint column, const in float total)
{
    return is_empty(total, row_term_of(row)) ? 0.0 : 1.0 / total;
}

float times_factor(const in uint row, const in uint column, const in float x, const in float factor)
{
    return factor == 0.0 ? 0.0 : x * factor; // 0 * NaN is NaN
}

// What is written of a row beside its means.
float store_scalars(const in uint row, const in uint column, const in float total,
                    const in float top, const in float plogp)
{
    int x = row0 + own_rows() + int(row);
    if (column != 0u || !leads || x >= row_count)
        return total;
    bool empty = is_empty(total, row_term_of(row));
    if (FORM == LEFT_STATS) {
        int64_t pair = scalar_offset(OPERAND_STATS, x);
        store_f32(OPERAND_STATS, pair, top);
        store_f32(OPERAND_STATS, pair + 1, log2_exact(total));
    }
    // Both terms have one sign, so nothing cancels, however large the scores.
    if (IS_RIGHT)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? INFINITY : LN_2 * (plogp / total - log2_exact(total)));
    if (FORM == LEFT_MEAN && push.p.operand[OPERAND_WEIGHT].width > 0)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? 0.0 : exp2(top) * total);
    return total;
}

// Rows of sums leave by way of shared memory, so that they are stored whole.
void store_rows(rows_view view)
{
    rows_barrier();
    for (int i = int(gl_SubgroupInvocationID); i < M * OUT_EIGHTS; i += LANES) {
        int row = own_rows() + i / OUT_EIGHTS, word = row * STORE_PITCH + i % OUT_EIGHTS * 2;
        store_eight(view, row0 + row, i % OUT_EIGHTS * 8, uintBitsToFloat(pool[word]),
                    uintBitsToFloat(pool[word + 1]), 1.0);
    }
    rows_barrier();
}

void main()
{
    MATRIX_A queries[DEEP], weights[ACROSS];
    MATRIX_SUM scores[ACROSS], mean[MEANS], result[RESULTS];
    MATRIX_SUM largest = MATRIX_SUM(-INFINITY), sum = MATRIX_SUM(0.0), entropy = MATRIX_SUM(0.0);
    if (!find_place())
        return;
    thread = int(gl_SubgroupID) * LANES + int(gl_SubgroupInvocationID);
    if (thread == 0)
        any_column = 0u;
    rows_view keys = view_of(COLUMN_OPERAND, columns_there(), 0), vals = keys;
    if (HAS_RESULT)
        vals = view_of(OPERAND_VALUES, keys.there, with_result ? chunk_begin : 0);
    fetch_tile(keys, vals, 0);
    put_rows(view_of(ROW_OPERAND, rows_read(), 0));
    [[unroll]] for (int k = 0; k < DEEP; k++)
        coopMatLoad(queries[k], pool, own_rows() * PITCH + k * N / 8, PITCH, ROW_MAJOR);
    [[unroll]] for (int n = 0; n < MEANS; n++)
        mean[n] = MATRIX_SUM(0.0);
    [[unroll]] for (int n = 0; n < RESULTS; n++)
        result[n] = MATRIX_SUM(0.0);

    for (int first = 0; first < column_count; first += COLUMNS) {
        MATRIX_B b;
        barrier();
        if (first > 0)
            fetch_tile(keys, vals, first);
        put_tile();
        barrier();

        // Scores. Columns of RIGHT have no term where all are there.
        const bool none_absent = is_whole(keys, first, COLUMNS, 0);
        [[unroll]] for (int n = 0; n < ACROSS; n++) {
            MATRIX_SUM raw = MATRIX_SUM(0.0);
            [[unroll]] for (int k = 0; k < DEEP; k++) {
                coopMatLoad(b, pool, n * N * PITCH + k * N / 8, PITCH, COLUMN_MAJOR);
                raw = coopMatMulAdd(queries[k], b, raw);
            }
            if (IS_RIGHT && none_absent) {
                scores[n] = raw * push_scale;
            } else {
                first_column = n * N;
                if (FORM == LEFT_MEAN)
                    coopMatPerElementNV(scores[n], raw, log_weight_of);
                else
                    coopMatPerElementNV(scores[n], raw, score_of);
            }
        }

        // The largest of each row, by which earlier sums shrink.
        MATRIX_SUM before = largest, top = scores[0], base;
        [[unroll]] for (int n = 1; n < ACROSS; n++)
            coopMatPerElementNV(top, top, larger_of, scores[n]);
        coopMatReduceNV(top, top, gl_CooperativeMatrixReduceRowNV, larger);
        coopMatPerElementNV(largest, top, larger_of, before);
        coopMatPerElementNV(base, largest, base_of);
        if (first > 0) {
            MATRIX_SUM shrink;
            coopMatPerElementNV(shrink, before, shrink_of, largest);
            if (IS_RIGHT)
                coopMatPerElementNV(entropy, before, moved_entropy, largest, sum, entropy);
            sum = sum * shrink;
            if (HAS_MEAN)
                [[unroll]] for (int n = 0; n < MEANS; n++)
                    mean[n] = mean[n] * shrink;
            if (HAS_RESULT)
                [[unroll]] for (int n = 0; n < RESULTS; n++)
                    result[n] = result[n] * shrink;
        }

        // Weights.
        [[unroll]] for (int n = 0; n < ACROSS; n++) {
            precise MATRIX_SUM y = scores[n] - base;
            MATRIX_SUM p;
            coopMatPerElementNV(p, y, weight_of);
            sum = sum + p;
            if (IS_RIGHT)
                coopMatPerElementNV(entropy, y, entropy_of, p, entropy);
            weights[n] = MATRIX_A(p);
        }

        // Outputs.
        [[unroll]] for (int k = 0; k < ACROSS; k++) {
            if (HAS_MEAN && with_mean)
                [[unroll]] for (int n = 0; n < MEANS; n++) {
                    coopMatLoad(b, pool, k * N * PITCH + (chunk_begin + n * N) / 8, PITCH,
                                ROW_MAJOR);
                    mean[n] = coopMatMulAdd(weights[k], b, mean[n]);
                }
            if (HAS_RESULT && with_result)
                [[unroll]] for (int n = 0; n < RESULTS; n++) {
                    coopMatLoad(b, pool, VALUES_AT + k * N * OUT_PITCH + n * N / 8, OUT_PITCH,
                                ROW_MAJOR);
                    result[n] = coopMatMulAdd(weights[k], b, result[n]);
                }
        }
    }

    MATRIX_SUM factor, x;
    coopMatReduceNV(sum, sum, gl_CooperativeMatrixReduceRowNV, plus);
    if (IS_RIGHT)
        coopMatReduceNV(entropy, entropy, gl_CooperativeMatrixReduceRowNV, plus);
    coopMatPerElementNV(factor, sum, factor_of);
    coopMatPerElementNV(x, sum, store_scalars, largest, entropy);
    barrier();
    presence written = FORM == LEFT_OUT ? tokens_of(row_count) : all_of(row_count);
    if (HAS_MEAN && with_mean) {
        [[unroll]] for (int n = 0; n < MEANS; n++) {
            coopMatPerElementNV(x, mean[n], times_factor, factor);
            coopMatStore(x, pool, own_rows() * STORE_PITCH + n * N / 4, STORE_PITCH, ROW_MAJOR);
        }
        store_rows(view_of(OPERAND_MEAN, written, chunk_begin));
    }
    if (HAS_RESULT && with_result) {
        [[unroll]] for (int n = 0; n < RESULTS; n++) {
            coopMatPerElementNV(x, result[n], times_factor, factor);
            coopMatStore(x, pool, own_rows() * STORE_PITCH + n * N / 4, STORE_PITCH, ROW_MAJOR);
        }
        store_rows(view_of(OPERAND_RESULT, written, chunk_begin));
    }
}

#endif
