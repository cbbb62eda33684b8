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

#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 7) const int M = 16; // of the device's matrices: sums of M x N, and K = N
layout(constant_id = 8) const int N = 16;
layout(constant_id = 9) const bool ONE_TILE = false; // holds all columns

// In words of 16 bytes. Rows, keys, values and rows of outputs take turns in the same place: an
// NVIDIA driver has 48 KiB for all work-groups of a multiprocessor, and two are to run at once.
const int PITCH = WIDTH / 8 + 1, OUT_PITCH = OUT / 8 + 1, KEYS_AT = 0, VALUES_AT = 0;
const int POOL_WORDS = (ROWS > COLUMNS ? ROWS : COLUMNS) * PITCH;
#include "shaders/vulkan/columns.glsl"

shared float column_terms[2 * COLUMNS]; // to take off the scores of a column
shared float row_terms[ROWS];
shared float row_totals[ROWS], row_tops[ROWS], row_entropies[ROWS];
shared uint look_again[ROWS / M]; // of each subgroup
shared uint any_column;           // whether any column is there

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, M, N, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, N, N, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

const int DEEP = WIDTH / N, ACROSS = COLUMNS / N;
const int MEANS = HAS_MEAN ? OUT / N : 1, RESULTS = HAS_RESULT ? OUT / N : 1;

const int TERMS = (COLUMNS + THREADS - 1) / THREADS;
vec2 next_terms[TERMS];

int own_rows()
{
    return int(gl_SubgroupID) * M;
}

void fetch_tile(rows_view keys, int first)
{
    fetch_keys(keys, first);
    [[unroll]] for (int n = 0; n < TERMS; n++)
        if (thread + n * THREADS < COLUMNS)
            next_terms[n] = terms_of(keys.there, first + thread + n * THREADS);
}

void put_tile(rows_view keys, int first)
{
    put_keys(keys, first);
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

void put_row_terms()
{
    if (FORM == LEFT_MEAN && thread < ROWS)
        row_terms[thread] = row0 + thread < row_count ? row_bias_of(row0 + thread) : INFINITY;
}

// Functions of single elements get all that they need as parameters or from shared memory: a
// variable outside of them that they use lies in memory on an NVIDIA driver, whoever uses it.
//
// Terms are read where they are taken off: of matrices loaded with a stride of 0, each row or each
// column alike, an NVIDIA driver (580.159) got some elements wrong. `first` is the first column of
// the matrix.

// A raw product less its column's term.
float score_of(const in uint row, const in uint column, const in float raw, const in float scale,
               const in uint first)
{
    precise float score = fma(raw, scale, -column_terms[first + column]);
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
float log_weight_of(const in uint row, const in uint column, const in float raw,
                    const in float scale, const in uint first)
{
    precise float score = fma(raw, scale, -row_term_of(row)) - column_terms[first + column] -
                          column_terms[COLUMNS + first + column];
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

// Sums times the factors of their rows need another look where a factor is 0, since 0 * NaN is NaN,
// and near the end of f16's range: seldom, so all are multiplied first.
float look_at(const in uint row, const in uint column, const in float x, const in float factor)
{
    if (factor == 0.0 || is_near_overflow(x))
        look_again[gl_SubgroupID] = 1u;
    return x;
}

float looked_at(const in uint row, const in uint column, const in float x, const in float factor)
{
    return factor == 0.0 ? 0.0 : limit_overflow(x);
}

// Statistics of rows leave their matrices.
float put_scalars(const in uint row, const in uint column, const in float total,
                  const in float top, const in float plogp)
{
    if (column == 0u) {
        row_totals[own_rows() + int(row)] = total;
        row_tops[own_rows() + int(row)] = top;
        row_entropies[own_rows() + int(row)] = plogp;
    }
    return total;
}

// What is written of a row beside its means.
void store_scalars()
{
    int row = own_rows() + int(gl_SubgroupInvocationID), x = row0 + row;
    if (int(gl_SubgroupInvocationID) >= M || !leads || x >= row_count)
        return;
    float total = row_totals[row];
    bool empty = is_empty(total, row_term_of(gl_SubgroupInvocationID));
    if (FORM == LEFT_STATS) {
        int64_t pair = scalar_offset(OPERAND_STATS, x);
        store_f32(OPERAND_STATS, pair, row_tops[row]);
        store_f32(OPERAND_STATS, pair + 1, log2_exact(total));
    }
    // Both terms have one sign, so nothing cancels, however large the scores.
    if (IS_RIGHT)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? INFINITY : LN_2 * (row_entropies[row] / total - log2_exact(total)));
    if (FORM == LEFT_MEAN && push.p.operand[OPERAND_WEIGHT].width > 0)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? 0.0 : exp2(row_tops[row]) * total);
}

// The subgroup's rows of an output lie in shared memory as they are to be written.
void store_outputs(rows_view view)
{
    int lane = int(gl_SubgroupInvocationID), own = own_rows();
    if (is_whole(view, row0 + own, M, OUT)) {
        uint64_t base = first_row(view, row0 + own);
        [[unroll]] for (int n = 0; n < M * OUT_EIGHTS / LANES; n++) {
            int i = lane + n * LANES;
            vectors_at(near_row(view, base, i / OUT_EIGHTS, i % OUT_EIGHTS * 16)).words =
                pool[(own + i / OUT_EIGHTS) * PITCH + i % OUT_EIGHTS];
        }
    } else {
        [[dont_unroll]] for (int i = lane; i < M * OUT_EIGHTS; i += LANES)
            store_words(view, row0 + own + i / OUT_EIGHTS, i % OUT_EIGHTS * 8,
                        pool[(own + i / OUT_EIGHTS) * PITCH + i % OUT_EIGHTS]);
    }
}

void main()
{
    MATRIX_A queries[DEEP], weights[ACROSS];
    MATRIX_B b;
    MATRIX_SUM scores[ACROSS], mean[MEANS], result[RESULTS];
    MATRIX_SUM largest = MATRIX_SUM(-INFINITY), sum = MATRIX_SUM(0.0), entropy = MATRIX_SUM(0.0);
    if (!find_place())
        return;
    thread = int(gl_SubgroupID) * LANES + int(gl_SubgroupInvocationID);
    if (thread == 0)
        any_column = 0u;
    rows_view rows = view_of(ROW_OPERAND, rows_read(), 0);
    rows_view keys = view_of(COLUMN_OPERAND, columns_there(), 0), vals = keys;
    if (HAS_RESULT)
        vals = view_of(OPERAND_VALUES, keys.there, with_result ? chunk_begin : 0);
    [[unroll]] for (int n = 0; n < MEANS; n++)
        mean[n] = MATRIX_SUM(0.0);
    [[unroll]] for (int n = 0; n < RESULTS; n++)
        result[n] = MATRIX_SUM(0.0);

    fetch_rows(rows);
    fetch_tile(keys, 0);
    put_rows(rows);
    put_row_terms();
    barrier();
    [[unroll]] for (int k = 0; k < DEEP; k++)
        coopMatLoad(queries[k], pool, own_rows() * PITCH + k * N / 8, PITCH, ROW_MAJOR);

    for (int first = 0;; first += COLUMNS) {
        if (first > 0)
            fetch_tile(keys, first);
        barrier();
        put_tile(keys, first);
        barrier();
        if (HAS_RESULT && with_result && !HAS_MEAN) // else there are too few registers for it yet
            fetch_values(vals, first);

        // Scores. Columns of RIGHT have no term where all are there.
        [[unroll]] for (int n = 0; n < ACROSS; n++)
            scores[n] = MATRIX_SUM(0.0);
        [[unroll]] for (int k = 0; k < DEEP; k++)
            [[unroll]] for (int n = 0; n < ACROSS; n++) {
                coopMatLoad(b, pool, n * N * PITCH + k * N / 8, PITCH, COLUMN_MAJOR);
                scores[n] = coopMatMulAdd(queries[k], b, scores[n]);
            }
        if (IS_RIGHT && is_whole(keys, first, COLUMNS, 0)) {
            [[unroll]] for (int n = 0; n < ACROSS; n++)
                scores[n] = scores[n] * push_scale;
        } else {
            [[unroll]] for (int n = 0; n < ACROSS; n++) {
                if (FORM == LEFT_MEAN)
                    coopMatPerElementNV(scores[n], scores[n], log_weight_of, push_scale,
                                        uint(n * N));
                else
                    coopMatPerElementNV(scores[n], scores[n], score_of, push_scale, uint(n * N));
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

        // Outputs, one after the other: a branch between two products costs more than it says.
        if (HAS_RESULT && with_result && HAS_MEAN)
            fetch_values(vals, first);
        if (HAS_MEAN && with_mean)
            [[unroll]] for (int k = 0; k < ACROSS; k++)
                [[unroll]] for (int n = 0; n < MEANS; n++) {
                    coopMatLoad(b, pool, k * N * PITCH + chunk_begin / 8 + n * N / 8, PITCH,
                                ROW_MAJOR);
                    mean[n] = coopMatMulAdd(weights[k], b, mean[n]);
                }
        if (HAS_RESULT && with_result) {
            barrier();
            put_values(vals, first);
            barrier();
            [[unroll]] for (int k = 0; k < ACROSS; k++)
                [[unroll]] for (int n = 0; n < RESULTS; n++) {
                    coopMatLoad(b, pool, k * N * OUT_PITCH + n * N / 8, OUT_PITCH, ROW_MAJOR);
                    result[n] = coopMatMulAdd(weights[k], b, result[n]);
                }
        }
        if (ONE_TILE || first + COLUMNS >= column_count)
            break;
    }

    MATRIX_SUM factor, x;
    coopMatReduceNV(sum, sum, gl_CooperativeMatrixReduceRowNV, plus);
    if (IS_RIGHT)
        coopMatReduceNV(entropy, entropy, gl_CooperativeMatrixReduceRowNV, plus);
    coopMatPerElementNV(factor, sum, factor_of);
    coopMatPerElementNV(x, sum, put_scalars, largest, entropy);
    if (gl_SubgroupInvocationID == 0)
        look_again[gl_SubgroupID] = 0u;
    barrier();
    store_scalars();
    presence written = FORM == LEFT_OUT ? tokens_of(row_count) : all_of(row_count);
    if (HAS_MEAN && with_mean) {
        [[unroll]] for (int n = 0; n < MEANS; n++) {
            mean[n] = mean[n] * factor;
            coopMatPerElementNV(x, mean[n], look_at, factor);
        }
        rows_barrier();
        if (look_again[gl_SubgroupID] != 0u)
            [[unroll]] for (int n = 0; n < MEANS; n++)
                coopMatPerElementNV(mean[n], mean[n], looked_at, factor);
        [[unroll]] for (int n = 0; n < MEANS; n++)
            coopMatStore(MATRIX_A(mean[n]), pool, own_rows() * PITCH + n * N / 8, PITCH,
                         ROW_MAJOR);
        rows_barrier();
        store_outputs(view_of(OPERAND_MEAN, written, chunk_begin));
        rows_barrier();
    }
    if (HAS_RESULT && with_result) {
        [[unroll]] for (int n = 0; n < RESULTS; n++) {
            result[n] = result[n] * factor;
            coopMatPerElementNV(x, result[n], look_at, factor);
        }
        rows_barrier();
        if (look_again[gl_SubgroupID] != 0u)
            [[unroll]] for (int n = 0; n < RESULTS; n++)
                coopMatPerElementNV(result[n], result[n], looked_at, factor);
        [[unroll]] for (int n = 0; n < RESULTS; n++)
            coopMatStore(MATRIX_A(result[n]), pool, own_rows() * PITCH + n * N / 8, PITCH,
                         ROW_MAJOR);
        rows_barrier();
        store_outputs(view_of(OPERAND_RESULT, written, chunk_begin));
    }
}

#endif
