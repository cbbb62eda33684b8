// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_TILE_MATRIX_GLSL
#define MN_VULKAN_TILE_MATRIX_GLSL

// The two products by cooperative matrices: each subgroup holds FRAGMENTS x M rows, keeps their
// queries as matrices and the sums of the outputs too. Scores pass through shared memory, where
// ordinary code makes probabilities of them, which come back as matrices of 16-bit elements.
//
// All of shared memory is of 16-byte words, and matrices are loaded and stored as what they are:
// with BF16 the build turns this shader's only 16-bit float type, that of the matrices, into
// bfloat16 (bfloat16.py), which compilers need not know for that.
//
// Rows in shared memory are 16 bytes longer than their elements, so that rows read at once meet all
// banks.

#include "shaders/vulkan/halves.glsl"

#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 7) const int M = 16; // of the device's matrices
layout(constant_id = 8) const int N = 16;
layout(constant_id = 9) const int K = 16;
layout(constant_id = 10) const int FRAGMENTS = 1;

const int PITCH = WIDTH / 8 + 1, OUT_PITCH = OUT / 8 + 1; // in words of 16 bytes
const int SCORE_PITCH = COLUMNS / 4 + 1;
const int MEANS = HAS_MEAN ? OUT / N : 1, RESULTS = HAS_RESULT ? OUT / N : 1;
// Queries make room for scores once they are in matrices.
const int ROW_PITCH = PITCH > SCORE_PITCH ? PITCH : SCORE_PITCH;

shared uvec4 rows_of_group[ROWS * ROW_PITCH];
shared uvec4 keys_of_tile[COLUMNS * PITCH];
shared uvec4 values_of_tile[HAS_RESULT ? COLUMNS * OUT_PITCH : 1];

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

MATRIX_A queries[FRAGMENTS * (WIDTH / K)];
MATRIX_SUM mean[FRAGMENTS * MEANS];
MATRIX_SUM result[FRAGMENTS * RESULTS];

// Eight features at a time on their way to shared memory.
const int EIGHTS = WIDTH / 8, OUT_EIGHTS = OUT / 8;
const int KEY_LOADS = (COLUMNS * EIGHTS + THREADS - 1) / THREADS;
const int VALUE_LOADS = HAS_RESULT ? (COLUMNS * OUT_EIGHTS + THREADS - 1) / THREADS : 1;
uvec4 next_keys[KEY_LOADS];
uvec4 next_values[VALUE_LOADS];

// A subgroup's rows are its own.
void rows_barrier()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

int subgroup_row()
{
    return int(gl_SubgroupID) * FRAGMENTS * M;
}

vec4 read_scores(int row, int column)
{
    return uintBitsToFloat(rows_of_group[row * SCORE_PITCH + column / 4]);
}

// In place of the row's first scores, which all of its invocations have read.
void write_probabilities(float p[PART])
{
    rows_barrier();
    [[unroll]] for (int i = 0; i < PART; i += 8)
        rows_of_group[own_row * SCORE_PITCH + (own_part * PART + i) / 8] =
            uvec4(pack(p[i], p[i + 1]), pack(p[i + 2], p[i + 3]), pack(p[i + 4], p[i + 5]),
                  pack(p[i + 6], p[i + 7]));
}

void load_queries(rows_view view)
{
    if (is_whole(view, row0, ROWS, WIDTH)) {
        const int loads = ROWS * EIGHTS / THREADS;
        uint64_t base = first_row(view, row0);
        [[unroll]] for (int n = 0; n < loads; n++) {
            int i = thread + n * THREADS;
            rows_of_group[i / EIGHTS * PITCH + i % EIGHTS] =
                vectors_at(near_row(view, base, i / EIGHTS, i % EIGHTS * 16)).words;
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < ROWS * EIGHTS; i += THREADS)
            rows_of_group[i / EIGHTS * PITCH + i % EIGHTS] =
                load_eight(view, row0 + i / EIGHTS, i % EIGHTS * 8);
    }
    barrier();
    [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
        [[unroll]] for (int k = 0; k < WIDTH / K; k++)
            coopMatLoad(queries[r * (WIDTH / K) + k], rows_of_group,
                        (subgroup_row() + r * M) * PITCH + k * K / 8, PITCH, ROW_MAJOR);
    [[unroll]] for (int i = 0; i < FRAGMENTS * MEANS; i++)
        mean[i] = MATRIX_SUM(0.0);
    [[unroll]] for (int i = 0; i < FRAGMENTS * RESULTS; i++)
        result[i] = MATRIX_SUM(0.0);
}

// Whether the tile on its way is whole, and in registers; else it is loaded when it is put.
bool whole_keys, whole_values;

void fetch_columns(rows_view keys, rows_view vals, int first)
{
    whole_keys = is_whole(keys, first, COLUMNS, WIDTH);
    whole_values = HAS_RESULT && with_result && is_whole(vals, first, COLUMNS, OUT);
    if (whole_keys) {
        uint64_t base = first_row(keys, first);
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * EIGHTS)
                next_keys[n] =
                    vectors_at(near_row(keys, base, i / EIGHTS, i % EIGHTS * 16)).words;
        }
    }
    if (whole_values) {
        uint64_t base = first_row(vals, first);
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                next_values[n] =
                    vectors_at(near_row(vals, base, i / OUT_EIGHTS, i % OUT_EIGHTS * 16)).words;
        }
    }
}

void put_keys(rows_view keys, int first)
{
    if (whole_keys) {
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * EIGHTS)
                keys_of_tile[i / EIGHTS * PITCH + i % EIGHTS] = next_keys[n];
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * EIGHTS; i += THREADS)
            keys_of_tile[i / EIGHTS * PITCH + i % EIGHTS] =
                load_eight(keys, first + i / EIGHTS, i % EIGHTS * 8);
    }
}

void put_values(rows_view vals, int first)
{
    if (whole_values) {
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                values_of_tile[i / OUT_EIGHTS * OUT_PITCH + i % OUT_EIGHTS] = next_values[n];
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * OUT_EIGHTS; i += THREADS)
            values_of_tile[i / OUT_EIGHTS * OUT_PITCH + i % OUT_EIGHTS] =
                load_eight(vals, first + i / OUT_EIGHTS, i % OUT_EIGHTS * 8);
    }
}

void put_columns(rows_view keys, rows_view vals, int first)
{
    put_keys(keys, first);
    if (HAS_RESULT && with_result)
        put_values(vals, first);
}

void tile_scores()
{
    [[unroll]] for (int n = 0; n < COLUMNS / N; n++) {
        MATRIX_SUM s[FRAGMENTS];
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            s[r] = MATRIX_SUM(0.0);
        [[unroll]] for (int k = 0; k < WIDTH / K; k++) {
            MATRIX_B b;
            coopMatLoad(b, keys_of_tile, n * N * PITCH + k * K / 8, PITCH, COLUMN_MAJOR);
            [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                s[r] = coopMatMulAdd(queries[r * (WIDTH / K) + k], b, s[r]);
        }
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            coopMatStore(s[r], rows_of_group,
                         (subgroup_row() + r * M) * SCORE_PITCH + n * N / 4, SCORE_PITCH,
                         ROW_MAJOR);
    }
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

void tile_accumulate(bool shrink, int count)
{
    if (FORM == LEFT_STATS)
        return;
    if (shrink && subgroupAny(factors[own_row] != 1.0))
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            scale_rows(r);
    [[unroll]] for (int k = 0; k < COLUMNS / K; k++) {
        MATRIX_A p[FRAGMENTS];
        MATRIX_B b;
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            coopMatLoad(p[r], rows_of_group,
                        (subgroup_row() + r * M) * SCORE_PITCH + k * K / 8, SCORE_PITCH, ROW_MAJOR);
        if (HAS_MEAN && with_mean)
            [[unroll]] for (int n = 0; n < MEANS; n++) {
                coopMatLoad(b, keys_of_tile, k * K * PITCH + (chunk_begin + n * N) / 8, PITCH,
                            ROW_MAJOR);
                [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                    mean[r * MEANS + n] = coopMatMulAdd(p[r], b, mean[r * MEANS + n]);
            }
        if (HAS_RESULT && with_result)
            [[unroll]] for (int n = 0; n < RESULTS; n++) {
                coopMatLoad(b, values_of_tile, k * K * OUT_PITCH + n * N / 8, OUT_PITCH, ROW_MAJOR);
                [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
                    result[r * RESULTS + n] = coopMatMulAdd(p[r], b, result[r * RESULTS + n]);
            }
    }
}

// COLUMNS features at a time leave by way of shared memory, so that rows are stored whole.
void store_part(rows_view view, int begin)
{
    const int eights = COLUMNS / 8, lanes = int(gl_SubgroupSize);
    rows_barrier();
    [[dont_unroll]] for (int i = int(gl_SubgroupInvocationID); i < FRAGMENTS * M * eights;
                         i += lanes) {
        int row = subgroup_row() + i / eights, feature = begin + i % eights * 8;
        if (feature < OUT)
            store_eight(view, row0 + row, feature, read_scores(row, i % eights * 8),
                        read_scores(row, i % eights * 8 + 4), factors[row]);
    }
    rows_barrier();
}

void store_mean(rows_view view)
{
    [[unroll]] for (int begin = 0; begin < OUT; begin += COLUMNS) {
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            [[unroll]] for (int n = begin / N; n < (begin + COLUMNS) / N && n < MEANS; n++)
                coopMatStore(mean[r * MEANS + n], rows_of_group,
                             (subgroup_row() + r * M) * SCORE_PITCH + (n * N - begin) / 4,
                             SCORE_PITCH, ROW_MAJOR);
        store_part(view, begin);
    }
}

void store_result(rows_view view)
{
    [[unroll]] for (int begin = 0; begin < OUT; begin += COLUMNS) {
        [[unroll]] for (int r = 0; r < FRAGMENTS; r++)
            [[unroll]] for (int n = begin / N; n < (begin + COLUMNS) / N && n < RESULTS; n++)
                coopMatStore(result[r * RESULTS + n], rows_of_group,
                             (subgroup_row() + r * M) * SCORE_PITCH + (n * N - begin) / 4,
                             SCORE_PITCH, ROW_MAJOR);
        store_part(view, begin);
    }
}

#endif
