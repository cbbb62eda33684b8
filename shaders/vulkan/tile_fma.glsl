// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_TILE_FMA_GLSL
#define MN_VULKAN_TILE_FMA_GLSL

// The two products by multiply-adds: operands as f32 in shared memory. An invocation computes
// ROW_TILE rows x COLUMN_TILE columns of scores, and OUT_ROWS rows x OUT_TILE groups of four
// features of the outputs: as many as its registers hold, since each element that is read from
// shared memory then serves that often. Rows in shared memory are 4 longer than their features, so
// that 8 of them read at once meet all banks.
//
// Shared memory decides how many invocations a multiprocessor works with at once (NVIDIA's driver
// gives it 48 KiB for all of its work-groups), so things take turns in it: queries, which wait in
// registers as they came, and scores; keys and values.

layout(constant_id = 7) const int OUT_ACROSS = 8; // neighbours that share their rows of the outputs
layout(constant_id = 8) const int DEEP = 1;       // groups of four features at a time in a score

const int ROW_TILE = 8 / LANES, ACROSS = 8;
const int ROWS_APART = ROWS / ROW_TILE;
const int COLUMN_TILE = COLUMNS / ACROSS;
const int OUT_ROWS = ROWS * OUT_ACROSS / THREADS;
const int OUT_ROWS_APART = ROWS / OUT_ROWS;
const int OUT_TILE = OUT / (4 * OUT_ACROSS);
const int PITCH = WIDTH / 4 + 1, OUT_PITCH = OUT / 4 + 1;
const int SCORE_PITCH = COLUMNS / 4 + 1;
const int MEANS = HAS_MEAN ? OUT_TILE : 1, RESULTS = HAS_RESULT ? OUT_TILE : 1;

// COLUMNS <= WIDTH: scores are no longer than queries.
shared vec4 rows_of_group[ROWS * PITCH];
shared vec4 columns_of_tile[COLUMNS * PITCH];

vec4 mean[OUT_ROWS * MEANS], result[OUT_ROWS * RESULTS];

// Eight features at a time on their way to shared memory.
const int EIGHTS = WIDTH / 8, OUT_EIGHTS = OUT / 8;
const int ROW_LOADS = ROWS * EIGHTS / THREADS;
const int KEY_LOADS = (COLUMNS * EIGHTS + THREADS - 1) / THREADS;
const int VALUE_LOADS = HAS_RESULT ? (COLUMNS * OUT_EIGHTS + THREADS - 1) / THREADS : 1;
const int WORDS = DTYPE == DTYPE_F32 ? 2 : 1;
uvec4 own_queries[ROW_LOADS * WORDS];
uvec4 next_keys[KEY_LOADS * WORDS], next_values[VALUE_LOADS * WORDS];

void rows_barrier()
{
    barrier();
}

vec4 read_scores(int row, int column)
{
    return rows_of_group[row * SCORE_PITCH + column / 4];
}

void write_probabilities(float p[PART])
{
    [[unroll]] for (int i = 0; i < PART; i += 4)
        rows_of_group[own_row * SCORE_PITCH + (own_part * PART + i) / 4] =
            vec4(p[i], p[i + 1], p[i + 2], p[i + 3]);
}

vec2 unpack(uint pair)
{
    return DTYPE == DTYPE_F16 ? unpackHalf2x16(pair)
                              : vec2(bf16_of_bits(pair & 0xffffu), bf16_of_bits(pair >> 16));
}

// Eight features of row x as they lie in memory, f32 in two words; 0 behind a row's end and where
// no row is. Masked rows must be: weight 0 times NaN is NaN.
void load_eight(rows_view view, int x, int feature, out uvec4 low, out uvec4 high)
{
    low = high = uvec4(0u);
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 8 <= view.width) {
        low = vectors_at(row + uint64_t(feature) * (DTYPE == DTYPE_F32 ? 4 : 2)).words;
        if (DTYPE == DTYPE_F32)
            high = vectors_at(row + uint64_t(feature) * 4 + 16).words;
        return;
    }
    // Elements are reached by number in unrolled loops only: else an array lies in memory.
    [[unroll]] for (int i = 0; i < 8; i++)
        if (feature + i < view.width) {
            if (DTYPE != DTYPE_F32)
                low[i / 2] |= uint(halves_at(row + uint64_t(feature + i) * 2).half_word)
                              << i % 2 * 16;
            else if (i < 4)
                low[i] = words_at(row + uint64_t(feature + i) * 4).word;
            else
                high[i - 4] = words_at(row + uint64_t(feature + i) * 4).word;
        }
}

// The same of what is_whole().
void load_whole(rows_view view, uint64_t base, int x, int feature, out uvec4 low, out uvec4 high)
{
    uint64_t row = near_row(view, base, x, feature * (DTYPE == DTYPE_F32 ? 4 : 2));
    low = vectors_at(row).words;
    high = DTYPE == DTYPE_F32 ? vectors_at(row + 16).words : uvec4(0u);
}

vec4 first_four(uvec4 low)
{
    return DTYPE == DTYPE_F32 ? uintBitsToFloat(low) : vec4(unpack(low.x), unpack(low.y));
}

vec4 second_four(uvec4 low, uvec4 high)
{
    return DTYPE == DTYPE_F32 ? uintBitsToFloat(high) : vec4(unpack(low.z), unpack(low.w));
}

void put_query(int i, uvec4 low, uvec4 high)
{
    rows_of_group[i / EIGHTS * PITCH + 2 * (i % EIGHTS)] = first_four(low);
    rows_of_group[i / EIGHTS * PITCH + 2 * (i % EIGHTS) + 1] = second_four(low, high);
}

void put_key(int i, uvec4 low, uvec4 high)
{
    columns_of_tile[i / EIGHTS * PITCH + 2 * (i % EIGHTS)] = first_four(low);
    columns_of_tile[i / EIGHTS * PITCH + 2 * (i % EIGHTS) + 1] = second_four(low, high);
}

void put_value(int i, uvec4 low, uvec4 high)
{
    int word = i / OUT_EIGHTS * OUT_PITCH + 2 * (i % OUT_EIGHTS);
    columns_of_tile[word] = first_four(low);
    columns_of_tile[word + 1] = second_four(low, high);
}

void load_queries(rows_view view)
{
    uvec4 low, high;
    bool whole = is_whole(view, row0, ROWS, WIDTH);
    uint64_t base = first_row(view, row0);
    [[unroll]] for (int n = 0; n < ROW_LOADS; n++) {
        int i = thread + n * THREADS;
        if (whole)
            load_whole(view, base, i / EIGHTS, i % EIGHTS * 8, low, high);
        else
            load_eight(view, row0 + i / EIGHTS, i % EIGHTS * 8, low, high);
        own_queries[n * WORDS + WORDS - 1] = high;
        own_queries[n * WORDS] = low;
    }
    [[unroll]] for (int i = 0; i < OUT_ROWS * MEANS; i++)
        mean[i] = vec4(0.0);
    [[unroll]] for (int i = 0; i < OUT_ROWS * RESULTS; i++)
        result[i] = vec4(0.0);
}

// Whether the tile on its way is whole, and in registers; else it is loaded when it is put.
bool whole_keys, whole_values;

void fetch_keys(rows_view keys, int first)
{
    uvec4 low, high;
    whole_keys = is_whole(keys, first, COLUMNS, WIDTH);
    if (!whole_keys)
        return;
    uint64_t base = first_row(keys, first);
    [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < COLUMNS * EIGHTS) {
            load_whole(keys, base, i / EIGHTS, i % EIGHTS * 8, low, high);
            next_keys[n * WORDS + WORDS - 1] = high;
            next_keys[n * WORDS] = low;
        }
    }
}

void fetch_values(rows_view vals, int first)
{
    uvec4 low, high;
    whole_values = is_whole(vals, first, COLUMNS, OUT);
    if (!whole_values)
        return;
    uint64_t base = first_row(vals, first);
    [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < COLUMNS * OUT_EIGHTS) {
            load_whole(vals, base, i / OUT_EIGHTS, i % OUT_EIGHTS * 8, low, high);
            next_values[n * WORDS + WORDS - 1] = high;
            next_values[n * WORDS] = low;
        }
    }
}

void fetch_columns(rows_view keys, rows_view vals, int first)
{
    fetch_keys(keys, first);
    if (HAS_RESULT && with_result)
        fetch_values(vals, first);
}

void put_keys(rows_view keys, int first)
{
    uvec4 low, high;
    if (whole_keys) {
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++)
            if (thread + n * THREADS < COLUMNS * EIGHTS)
                put_key(thread + n * THREADS, next_keys[n * WORDS],
                        next_keys[n * WORDS + WORDS - 1]);
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * EIGHTS; i += THREADS) {
            load_eight(keys, first + i / EIGHTS, i % EIGHTS * 8, low, high);
            put_key(i, low, high);
        }
    }
}

void put_values(rows_view vals, int first)
{
    uvec4 low, high;
    if (whole_values) {
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++)
            if (thread + n * THREADS < COLUMNS * OUT_EIGHTS)
                put_value(thread + n * THREADS, next_values[n * WORDS],
                          next_values[n * WORDS + WORDS - 1]);
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * OUT_EIGHTS; i += THREADS) {
            load_eight(vals, first + i / OUT_EIGHTS, i % OUT_EIGHTS * 8, low, high);
            put_value(i, low, high);
        }
    }
}

// Values follow when keys have done their part.
void put_columns(rows_view keys, rows_view vals, int first)
{
    put_keys(keys, first);
    [[unroll]] for (int n = 0; n < ROW_LOADS; n++)
        put_query(thread + n * THREADS, own_queries[n * WORDS],
                  own_queries[n * WORDS + WORDS - 1]);
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
    const int turns = (depth + 4 * DEEP - 1) / (4 * DEEP); // at run time: the loop stays one
    for (int turn = 0; turn < turns; turn++)
        [[unroll]] for (int i = 0; i < DEEP; i++) {
            int f = turn * DEEP + i;
            vec4 q[ROW_TILE];
            [[unroll]] for (int r = 0; r < ROW_TILE; r++)
                q[r] = rows_of_group[(first_row + r * ROWS_APART) * PITCH + f];
            [[unroll]] for (int c = 0; c < COLUMN_TILE; c++) {
                vec4 k = columns_of_tile[(first_column + c * ACROSS) * PITCH + f];
                [[unroll]] for (int r = 0; r < ROW_TILE; r++)
                    s[r * COLUMN_TILE + c] = dot_on(q[r], k, s[r * COLUMN_TILE + c]);
            }
        }
    barrier();
    [[unroll]] for (int r = 0; r < ROW_TILE; r++)
        [[unroll]] for (int c = 0; c < COLUMN_TILE; c++) {
            int column = first_column + c * ACROSS;
            rows_of_group[(first_row + r * ROWS_APART) * SCORE_PITCH + column / 4][column % 4] =
                s[r * COLUMN_TILE + c];
        }
}

void accumulate_mean(int count)
{
    int first_row = thread / OUT_ACROSS, key_part = chunk_begin / 4 + thread % OUT_ACROSS;
    for (int c = 0; c < count; c += 4) {
        vec4 p[OUT_ROWS];
        [[unroll]] for (int r = 0; r < OUT_ROWS; r++)
            p[r] = read_scores(first_row + r * OUT_ROWS_APART, c);
        [[unroll]] for (int i = 0; i < 4; i++)
            [[unroll]] for (int n = 0; n < MEANS; n++) {
                vec4 k = columns_of_tile[(c + i) * PITCH + key_part + n * OUT_ACROSS];
                [[unroll]] for (int r = 0; r < OUT_ROWS; r++)
                    mean[r * MEANS + n] = fma(vec4(p[r][i]), k, mean[r * MEANS + n]);
            }
    }
}

void accumulate_result(int count)
{
    int first_row = thread / OUT_ACROSS, part = thread % OUT_ACROSS;
    for (int c = 0; c < count; c += 4) {
        vec4 p[OUT_ROWS];
        [[unroll]] for (int r = 0; r < OUT_ROWS; r++)
            p[r] = read_scores(first_row + r * OUT_ROWS_APART, c);
        [[unroll]] for (int i = 0; i < 4; i++)
            [[unroll]] for (int n = 0; n < RESULTS; n++) {
                vec4 v = columns_of_tile[(c + i) * OUT_PITCH + part + n * OUT_ACROSS];
                [[unroll]] for (int r = 0; r < OUT_ROWS; r++)
                    result[r * RESULTS + n] = fma(vec4(p[r][i]), v, result[r * RESULTS + n]);
            }
    }
}

// The columns behind the last have weight 0.
void tile_accumulate(rows_view keys, rows_view vals, int first)
{
    int count = min(column_count - first, COLUMNS);
    if (first > 0 && FORM != LEFT_STATS)
        [[unroll]] for (int r = 0; r < OUT_ROWS; r++) {
            float factor = factors[thread / OUT_ACROSS + r * OUT_ROWS_APART];
            if (HAS_MEAN)
                [[unroll]] for (int n = 0; n < MEANS; n++)
                    mean[r * MEANS + n] *= factor;
            if (HAS_RESULT)
                [[unroll]] for (int n = 0; n < RESULTS; n++)
                    result[r * RESULTS + n] *= factor;
        }
    if (HAS_MEAN && with_mean)
        accumulate_mean(count);
    if (!HAS_RESULT)
        return;
    if (with_mean)
        barrier();
    if (with_result)
        put_values(vals, first);
    barrier();
    if (with_result)
        accumulate_result(count);
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

void store_one(uint64_t row, int feature, int width, uint bits)
{
    if (feature < width && DTYPE == DTYPE_F32)
        words_at(row + uint64_t(feature) * 4).word = bits;
    else if (feature < width)
        halves_at(row + uint64_t(feature) * 2).half_word = uint16_t(bits);
}

void store_four(rows_view view, int x, int feature, vec4 sums, float factor)
{
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    vec4 v = vec4(0.0);
    if (factor != 0.0) // 0 * NaN is NaN
        [[unroll]] for (int i = 0; i < 4; i++)
            v[i] = limit_overflow(sums[i] * factor);
    uvec4 words = floatBitsToUint(v);
    uint64_t row = view.base + uint64_t(x * view.step);
    bool whole = view.vectors && feature + 4 <= view.width;
    if (DTYPE != DTYPE_F32)
        [[unroll]] for (int i = 0; i < 4; i++)
            words[i] = bits_of(v[i]);
    if (whole && DTYPE == DTYPE_F32)
        vectors_at(row + uint64_t(feature) * 4).words = words;
    else if (whole)
        pairs_at(row + uint64_t(feature) * 2).words =
            uvec2(words.x | words.y << 16, words.z | words.w << 16);
    else
        [[unroll]] for (int i = 0; i < 4; i++)
            store_one(row, feature + i, view.width, words[i]);
}

void store_mean(rows_view view)
{
    [[unroll]] for (int r = 0; r < OUT_ROWS; r++) {
        int row = thread / OUT_ACROSS + r * OUT_ROWS_APART;
        [[unroll]] for (int n = 0; n < MEANS; n++)
            store_four(view, row0 + row, (thread % OUT_ACROSS + n * OUT_ACROSS) * 4,
                       mean[r * MEANS + n], factors[row]);
    }
}

void store_result(rows_view view)
{
    [[unroll]] for (int r = 0; r < OUT_ROWS; r++) {
        int row = thread / OUT_ACROSS + r * OUT_ROWS_APART;
        [[unroll]] for (int n = 0; n < RESULTS; n++)
            store_four(view, row0 + row, (thread % OUT_ACROSS + n * OUT_ACROSS) * 4,
                       result[r * RESULTS + n], factors[row]);
    }
}

#endif
