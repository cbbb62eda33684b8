// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_TILE_MATRIX_GLSL
#define MN_VULKAN_TILE_MATRIX_GLSL

// The two products by cooperative matrices: each subgroup holds FRAGMENTS x M rows, keeps their
// queries as matrices and the sums of the outputs too. Scores pass through shared memory, where
// ordinary code makes probabilities of them, which come back as matrices of 16-bit elements.
//
// Matrices are loaded and stored as what they are: with BF16 the build turns this shader's only
// 16-bit float type, that of the matrices, into bfloat16 (bfloat16.py), which compilers need not
// know for that.

#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 7) const int M = 16; // of the device's matrices
layout(constant_id = 8) const int N = 16;
layout(constant_id = 9) const int K = 16;
layout(constant_id = 10) const int FRAGMENTS = 1;

const int OWN_ROWS = FRAGMENTS * M, SUBGROUP = OWN_ROWS * LANES;
// In words of 16 bytes. Rows make room for their scores once they are in matrices.
const int PITCH = WIDTH / 8 + 1, OUT_PITCH = OUT / 8 + 1, SCORE_PITCH = COLUMNS / 4 + 1;
const int KEYS_AT = ROWS * (PITCH > SCORE_PITCH ? PITCH : SCORE_PITCH);
const int VALUES_AT = KEYS_AT + COLUMNS * PITCH;
const int POOL_WORDS = VALUES_AT + (HAS_RESULT ? COLUMNS * OUT_PITCH : 0);
#include "shaders/vulkan/columns.glsl"

const int MEANS = HAS_MEAN ? OUT / N : 1, RESULTS = HAS_RESULT ? OUT / N : 1;
const int DEEP = WIDTH / K, ACROSS = COLUMNS / N;
const int STORE_PARTS = (OUT + COLUMNS - 1) / COLUMNS;

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

MATRIX_A queries[FRAGMENTS * DEEP];
MATRIX_SUM mean[FRAGMENTS * MEANS];
MATRIX_SUM result[FRAGMENTS * RESULTS];

int subgroup_row()
{
    return int(gl_SubgroupID) * OWN_ROWS;
}

vec4 read_scores(int row, int column)
{
    return uintBitsToFloat(pool[row * SCORE_PITCH + column / 4]);
}

// In place of the row's first scores, which all of its invocations have read.
void write_probabilities(float p[PART])
{
    rows_barrier();
    [[unroll]] for (int i = 0; i < PART; i += 8)
        pool[own_row * SCORE_PITCH + (own_part * PART + i) / 8] =
            uvec4(pack(p[i], p[i + 1]), pack(p[i + 2], p[i + 3]), pack(p[i + 4], p[i + 5]),
                  pack(p[i + 6], p[i + 7]));
}

void fetch_columns(rows_view keys, rows_view vals, int first)
{
    fetch_keys(keys, first);
    if (HAS_RESULT && with_result)
        fetch_values(vals, first);
}

void put_columns(rows_view keys, rows_view vals, int first)
{
    put_keys(keys, first);
    if (HAS_RESULT && with_result)
        put_values(vals, first);
}

void load_queries(rows_view view)
{
    fetch_rows(view);
    put_rows(view);
    barrier();
    [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
        [[unroll]] for (int k = 0; k < DEEP; k++)
            coopMatLoad(queries[r * DEEP + k], pool,
                        (subgroup_row() + r * M) * PITCH + k * K / 8, PITCH, ROW_MAJOR);
    [[unroll]] for (int i = 0; i < FRAGMENTS * MEANS; i++)
        mean[i] = MATRIX_SUM(0.0);
    [[unroll]] for (int i = 0; i < FRAGMENTS * RESULTS; i++)
        result[i] = MATRIX_SUM(0.0);
}

// All sums of a tile at once: each product waits for the one ahead of it in its own sum alone.
void tile_scores()
{
    MATRIX_SUM s[ACROSS * FRAGMENTS];
    [[unroll]] for (int i = 0; i < ACROSS * FRAGMENTS; i++)
        s[i] = MATRIX_SUM(0.0);
    [[unroll]] for (int k = 0; k < DEEP; k++)
        [[unroll]] for (int n = 0; n < ACROSS; n++) {
            MATRIX_B b;
            coopMatLoad(b, pool, KEYS_AT + n * N * PITCH + k * K / 8, PITCH, COLUMN_MAJOR);
            [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                s[n * FRAGMENTS + r] =
                    coopMatMulAdd(queries[r * DEEP + k], b, s[n * FRAGMENTS + r]);
        }
    [[unroll]] for (int n = 0; n < ACROSS; n++)
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            coopMatStore(s[n * FRAGMENTS + r], pool,
                         (subgroup_row() + r * M) * SCORE_PITCH + n * N / 4, SCORE_PITCH,
                         ROW_MAJOR);
}

// Each row of fragment r times its factor, which a matrix with all columns alike holds.
void scale_rows(int r)
{
    MATRIX_SUM factor;
    coopMatLoad(factor, factors, subgroup_row() + r * M, 0, COLUMN_MAJOR);
    if (HAS_MEAN)
        [[unroll]] for (int n = 0; n < MEANS; n++)
            mean[r * MEANS + n] = mean[r * MEANS + n] * factor; // element by element
    if (HAS_RESULT)
        [[unroll]] for (int n = 0; n < RESULTS; n++)
            result[r * RESULTS + n] = result[r * RESULTS + n] * factor;
}

void tile_accumulate(rows_view keys, rows_view vals, int first)
{
    if (FORM == LEFT_STATS)
        return;
    if (first > 0 && subgroupAny(factors[own_row] != 1.0))
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            scale_rows(r);
    [[unroll]] for (int k = 0; k < COLUMNS / K; k++) {
        MATRIX_A p[FRAGMENTS];
        MATRIX_B b;
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            coopMatLoad(p[r], pool,
                        (subgroup_row() + r * M) * SCORE_PITCH + k * K / 8, SCORE_PITCH, ROW_MAJOR);
        if (HAS_MEAN && with_mean)
            [[unroll]] for (int n = 0; n < MEANS; n++) {
                coopMatLoad(b, pool, KEYS_AT + k * K * PITCH + chunk_begin / 8 + n * N / 8, PITCH,
                            ROW_MAJOR);
                [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                    mean[r * MEANS + n] = coopMatMulAdd(p[r], b, mean[r * MEANS + n]);
            }
        if (HAS_RESULT && with_result)
            [[unroll]] for (int n = 0; n < RESULTS; n++) {
                coopMatLoad(b, pool, VALUES_AT + k * K * OUT_PITCH + n * N / 8, OUT_PITCH,
                            ROW_MAJOR);
                [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                    result[r * RESULTS + n] = coopMatMulAdd(p[r], b, result[r * RESULTS + n]);
            }
    }
}

// Eight features of a row of sums, which lie where scores were, as they are written.
uvec4 output_words(int row, int column)
{
    vec4 low = read_scores(row, column), high = read_scores(row, column + 4);
    float factor = factors[row];
    if (factor == 0.0) // 0 * NaN is NaN
        return uvec4(0u);
    [[unroll]] for (int i = 0; i < 4; i++) {
        low[i] = limit_overflow(low[i] * factor);
        high[i] = limit_overflow(high[i] * factor);
    }
    return uvec4(pack(low.x, low.y), pack(low.z, low.w), pack(high.x, high.y),
                 pack(high.z, high.w));
}

// COLUMNS features at a time leave by way of shared memory, so that rows are stored whole.
void store_part(rows_view view, int begin)
{
    const int eights = COLUMNS / 8, stores = OWN_ROWS * eights / SUBGROUP;
    int lane = int(gl_SubgroupInvocationID), own = subgroup_row();
    rows_barrier();
    if (is_whole(view, row0 + own, OWN_ROWS, begin + COLUMNS)) {
        uint64_t base = first_row(view, row0 + own);
        [[unroll]] for (int n = 0; n < stores; n++) {
            int i = lane + n * SUBGROUP;
            vectors_at(near_row(view, base, i / eights, begin * 2 + i % eights * 16)).words =
                output_words(own + i / eights, i % eights * 8);
        }
    } else {
        [[dont_unroll]] for (int i = lane; i < OWN_ROWS * eights; i += SUBGROUP)
            if (begin + i % eights * 8 < OUT)
                store_words(view, row0 + own + i / eights, begin + i % eights * 8,
                            output_words(own + i / eights, i % eights * 8));
    }
    rows_barrier();
}

// Matrices are reached by number in unrolled loops alone: a number that is not known puts all
// of them into memory, for every tile.
void store_mean(rows_view view)
{
    [[unroll]] for (int part = 0; part < STORE_PARTS; part++) {
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            [[unroll]] for (int n = 0; n < ACROSS; n++)
                if (part * ACROSS + n < MEANS)
                    coopMatStore(mean[r * MEANS + part * ACROSS + n], pool,
                                 (subgroup_row() + r * M) * SCORE_PITCH + n * N / 4, SCORE_PITCH,
                                 ROW_MAJOR);
        store_part(view, part * COLUMNS);
    }
}

void store_result(rows_view view)
{
    [[unroll]] for (int part = 0; part < STORE_PARTS; part++) {
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            [[unroll]] for (int n = 0; n < ACROSS; n++)
                if (part * ACROSS + n < RESULTS)
                    coopMatStore(result[r * RESULTS + part * ACROSS + n], pool,
                                 (subgroup_row() + r * M) * SCORE_PITCH + n * N / 4, SCORE_PITCH,
                                 ROW_MAJOR);
        store_part(view, part * COLUMNS);
    }
}

#endif
