// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_TILE_FMA_GLSL
#define MN_VULKAN_TILE_FMA_GLSL

// The two products by multiply-adds: operands as f32 in shared memory, and each invocation computes
// ROW_TILE rows x several columns of scores, and the same rows x several features of the outputs.
// Eight neighbours share their rows. Rows in shared memory are 4 longer than their features, so
// that 8 of them read at once meet all banks.

const int ROW_TILE = 4, ACROSS = 8;
const int ROWS_APART = ROWS / ROW_TILE;
const int COLUMN_TILE = COLUMNS / ACROSS;     // columns of an invocation
const int OUT_TILE = OUT / (4 * ACROSS);      // groups of four features of an invocation
const int PITCH = WIDTH / 4 + 1, OUT_PITCH = HAS_RESULT ? OUT / 4 + 1 : 1;
const int SCORE_PITCH = COLUMNS / 4 + 1;
const int MEANS = HAS_MEAN ? OUT_TILE : 1, RESULTS = HAS_RESULT ? OUT_TILE : 1;

shared vec4 queries[ROWS * PITCH];
shared vec4 keys_of_tile[COLUMNS * PITCH];
shared vec4 values_of_tile[HAS_RESULT ? COLUMNS * OUT_PITCH : 1];
shared vec4 scores[ROWS * SCORE_PITCH];

vec4 mean[ROW_TILE * MEANS], result[ROW_TILE * RESULTS];
float push_scale;

void rows_barrier()
{
    barrier();
}

vec4 read_scores(int row, int column)
{
    return scores[row * SCORE_PITCH + column / 4];
}

void write_probabilities(float p[PART])
{
    [[unroll]] for (int i = 0; i < PART; i += 4)
        scores[own_row * SCORE_PITCH + (own_part * PART + i) / 4] =
            vec4(p[i], p[i + 1], p[i + 2], p[i + 3]);
}

vec2 unpack(uint pair)
{
    return DTYPE == DTYPE_F16 ? unpackHalf2x16(pair)
                              : vec2(bf16_of_bits(pair & 0xffffu), bf16_of_bits(pair >> 16));
}

// One element of a row that lies anyhow.
float element_at(uint64_t row, int feature)
{
    if (DTYPE == DTYPE_F32)
        return uintBitsToFloat(words_at(row + uint64_t(feature) * 4).word);
    uint bits = uint(halves_at(row + uint64_t(feature) * 2).half_word);
    return DTYPE == DTYPE_F16 ? f16_of_bits(bits) : bf16_of_bits(bits);
}

// Eight features of row x; 0 behind a row's end and where no row is. Masked rows must be: weight 0
// times NaN is NaN.
void load_eight(rows_view view, int x, int feature, out vec4 low, out vec4 high)
{
    low = high = vec4(0.0);
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 8 <= view.width) {
        if (DTYPE == DTYPE_F32) {
            low = uintBitsToFloat(vectors_at(row + uint64_t(feature) * 4).words);
            high = uintBitsToFloat(vectors_at(row + uint64_t(feature) * 4 + 16).words);
        } else {
            uvec4 words = vectors_at(row + uint64_t(feature) * 2).words;
            low = vec4(unpack(words.x), unpack(words.y));
            high = vec4(unpack(words.z), unpack(words.w));
        }
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (feature + i < view.width)
            low[i] = element_at(row, feature + i);
        if (feature + 4 + i < view.width)
            high[i] = element_at(row, feature + 4 + i);
    }
}

void load_queries(rows_view view)
{
    const int eights = WIDTH / 8;
    for (int i = thread; i < ROWS * eights; i += THREADS) {
        int row = i / eights, eight = i % eights;
        load_eight(view, row0 + row, eight * 8, queries[row * PITCH + 2 * eight],
                   queries[row * PITCH + 2 * eight + 1]);
    }
    [[unroll]] for (int i = 0; i < ROW_TILE * MEANS; i++)
        mean[i] = vec4(0.0);
    [[unroll]] for (int i = 0; i < ROW_TILE * RESULTS; i++)
        result[i] = vec4(0.0);
}

void load_columns(rows_view keys, rows_view vals, int first)
{
    const int eights = WIDTH / 8, out_eights = OUT / 8;
    for (int i = thread; i < COLUMNS * eights; i += THREADS) {
        int row = i / eights, eight = i % eights;
        load_eight(keys, first + row, eight * 8, keys_of_tile[row * PITCH + 2 * eight],
                   keys_of_tile[row * PITCH + 2 * eight + 1]);
    }
    if (HAS_RESULT && with_result)
        for (int i = thread; i < COLUMNS * out_eights; i += THREADS) {
            int row = i / out_eights, eight = i % out_eights;
            load_eight(vals, first + row, eight * 8, values_of_tile[row * OUT_PITCH + 2 * eight],
                       values_of_tile[row * OUT_PITCH + 2 * eight + 1]);
        }
}

// In the order of features: every tile and every form gets the same bits.
float dot_on(vec4 a, vec4 b, float sum_so_far)
{
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum_so_far))));
}

void tile_scores()
{
    int first_row = thread / ACROSS, first_column = thread % ACROSS;
    float s[ROW_TILE * COLUMN_TILE];
    [[unroll]] for (int i = 0; i < ROW_TILE * COLUMN_TILE; i++)
        s[i] = 0.0;
    for (int f = 0; f < WIDTH / 4; f++) {
        vec4 q[ROW_TILE];
        [[unroll]] for (int r = 0; r < ROW_TILE; r++)
            q[r] = queries[(first_row + r * ROWS_APART) * PITCH + f];
        [[unroll]] for (int c = 0; c < COLUMN_TILE; c++) {
            vec4 k = keys_of_tile[(first_column + c * ACROSS) * PITCH + f];
            [[unroll]] for (int r = 0; r < ROW_TILE; r++)
                s[r * COLUMN_TILE + c] = dot_on(q[r], k, s[r * COLUMN_TILE + c]);
        }
    }
    [[unroll]] for (int r = 0; r < ROW_TILE; r++)
        [[unroll]] for (int c = 0; c < COLUMN_TILE; c++) {
            int column = first_column + c * ACROSS;
            scores[(first_row + r * ROWS_APART) * SCORE_PITCH + column / 4][column % 4] =
                s[r * COLUMN_TILE + c];
        }
}

void tile_accumulate(bool shrink)
{
    int first_row = thread / ACROSS, across = thread % ACROSS;
    if (FORM == LEFT_STATS)
        return;
    if (shrink)
        [[unroll]] for (int r = 0; r < ROW_TILE; r++) {
            float factor = factors[first_row + r * ROWS_APART];
            if (HAS_MEAN)
                [[unroll]] for (int n = 0; n < MEANS; n++)
                    mean[r * MEANS + n] *= factor;
            if (HAS_RESULT)
                [[unroll]] for (int n = 0; n < RESULTS; n++)
                    result[r * RESULTS + n] *= factor;
        }
    int key_part = chunk_begin / 4 + across;
    for (int c = 0; c < COLUMNS; c += 4) {
        vec4 p[ROW_TILE];
        [[unroll]] for (int r = 0; r < ROW_TILE; r++)
            p[r] = scores[(first_row + r * ROWS_APART) * SCORE_PITCH + c / 4];
        [[unroll]] for (int i = 0; i < 4; i++) {
            if (HAS_MEAN && with_mean)
                [[unroll]] for (int n = 0; n < MEANS; n++) {
                    vec4 v = keys_of_tile[(c + i) * PITCH + key_part + n * ACROSS];
                    [[unroll]] for (int r = 0; r < ROW_TILE; r++)
                        mean[r * MEANS + n] = fma(vec4(p[r][i]), v, mean[r * MEANS + n]);
                }
            if (HAS_RESULT && with_result)
                [[unroll]] for (int n = 0; n < RESULTS; n++) {
                    vec4 v = values_of_tile[(c + i) * OUT_PITCH + across + n * ACROSS];
                    [[unroll]] for (int r = 0; r < ROW_TILE; r++)
                        result[r * RESULTS + n] = fma(vec4(p[r][i]), v, result[r * RESULTS + n]);
                }
        }
    }
}

uint bits_of(float x)
{
    return DTYPE == DTYPE_F16 ? bits_of_f16(x) : bits_of_bf16(x);
}

// Sums of f16 values weighted by rounded weights may come out a little above the largest f16: that
// is the result then, not infinity. Values that are infinite stay so.
float limit_overflow(float x)
{
    return DTYPE == DTYPE_F16 && abs(x) < 65504.0 * 1.001 ? clamp(x, -65504.0, 65504.0) : x;
}

void store_four(rows_view view, int x, int feature, vec4 sums, float factor)
{
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    vec4 v = vec4(0.0);
    if (factor != 0.0) // 0 * NaN is NaN
        [[unroll]] for (int i = 0; i < 4; i++)
            v[i] = limit_overflow(sums[i] * factor);
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 4 <= view.width) {
        if (DTYPE == DTYPE_F32)
            vectors_at(row + uint64_t(feature) * 4).words = floatBitsToUint(v);
        else
            pairs_at(row + uint64_t(feature) * 2).words = uvec2(
                bits_of(v.x) | bits_of(v.y) << 16, bits_of(v.z) | bits_of(v.w) << 16);
        return;
    }
    for (int i = 0; i < 4 && feature + i < view.width; i++) {
        if (DTYPE == DTYPE_F32)
            words_at(row + uint64_t(feature + i) * 4).word = floatBitsToUint(v[i]);
        else
            halves_at(row + uint64_t(feature + i) * 2).half_word = uint16_t(bits_of(v[i]));
    }
}

void store_mean(rows_view view)
{
    [[unroll]] for (int r = 0; r < ROW_TILE; r++) {
        int row = thread / ACROSS + r * ROWS_APART;
        [[unroll]] for (int n = 0; n < MEANS; n++)
            store_four(view, row0 + row, (thread % ACROSS + n * ACROSS) * 4, mean[r * MEANS + n],
                       factors[row]);
    }
}

void store_result(rows_view view)
{
    [[unroll]] for (int r = 0; r < ROW_TILE; r++) {
        int row = thread / ACROSS + r * ROWS_APART;
        [[unroll]] for (int n = 0; n < RESULTS; n++)
            store_four(view, row0 + row, (thread % ACROSS + n * ACROSS) * 4,
                       result[r * RESULTS + n], factors[row]);
    }
}

#endif
