// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_TILE_FMA_GLSL
#define MN_VULKAN_TILE_FMA_GLSL

// A work-group's tile of a score matrix by multiply-adds, written like a matrix product: TX
// invocations share a row and TY a column, each has RI rows and CI columns. A multiply-add takes
// two operands, and shared memory gives far fewer than that: each is read in vectors of 4 and used
// for all rows or all columns of an invocation. Elements become f32 on their way there.
//
// Shared memory decides how many work-groups a multiprocessor works on at once (NVIDIA's driver
// gives it 48 KiB for all of them), so it is cut small: scores are found in steps of DEPTH
// features, and outputs are made in steps of TX columns, whose probabilities wait in registers.

layout(constant_id = 7) const int POOL = 1024;  // vectors in the pool below
layout(constant_id = 8) const int WHOLE = 0;    // 1: no row, column or feature of a tile is absent
layout(constant_id = 9) const int ONE_TILE = 0; // 1: it holds all columns
layout(constant_id = 10) const int HELD = 1;    // outputs that are summed up at once, 1 or 2

const int DEPTH = 8;
const int TX = LANES, TY = THREADS / TX;
const int RI = ROWS / TY, CI = COLUMNS / TX; // RI is 4 or 8

// Rows of shared memory are longer than what they hold, so that those read at once meet different
// banks. The pool holds, one after the other,
//   for the scores    ROWS x DEPTH of the rows, COLUMNS x DEPTH of the columns
//   for the softmax   two numbers of each row by each of its TX invocations
//   for the outputs   TX columns x ROWS probabilities, TX rows x OUT of one or two operands
const int DEPTH_PITCH = DEPTH / 4 + 1, RUNS_PITCH = ROWS / 4 + 2;
const int COLUMNS_AT = ROWS * DEPTH_PITCH, OPERANDS_AT = TX * RUNS_PITCH;
shared vec4 pool[POOL];

float scores[RI * CI]; // then probabilities
vec4 sums[HELD * RI];  // four features of each of the invocation's rows

int tx, ty;

// Neighbours share a row or a column by turns: shared memory answers two invocations at once that
// ask for the same vector, if they are next to each other or next but one.
void take_seat()
{
    thread = int(gl_LocalInvocationIndex);
    tx = thread / 2 % TX;
    ty = thread / (2 * TX) * 2 + thread % 2;
}

// An invocation's rows come in runs of 4, so that what is held by columns is read in vectors.
int row_of(int r)
{
    return (r / 4 * TY + ty) * 4 + r % 4;
}

bool is_present(presence there, int x)
{
    return WHOLE == 1 || is_there(there, x);
}

const int SIZE = DTYPE == DTYPE_F32 ? 4 : 2;
const int WORDS = DTYPE == DTYPE_F32 ? 2 : 1; // of 16 bytes, that eight features take

vec2 unpack(uint pair)
{
    return DTYPE == DTYPE_F16 ? unpackHalf2x16(pair)
                              : vec2(bf16_of_bits(pair & 0xffffu), bf16_of_bits(pair >> 16));
}

// Eight features as they lie in memory become two vectors.
vec4 first_four(uvec4 low)
{
    return DTYPE == DTYPE_F32 ? uintBitsToFloat(low) : vec4(unpack(low.x), unpack(low.y));
}

vec4 second_four(uvec4 low, uvec4 high)
{
    return DTYPE == DTYPE_F32 ? uintBitsToFloat(high) : vec4(unpack(low.z), unpack(low.w));
}

// One feature of row x; 0 behind a row's end and where no row is. Masked rows must be: weight 0
// times NaN is NaN.
float load_one(rows_view view, int x, int f)
{
    if (f >= view.width || !is_present(view.there, x))
        return 0.0;
    uint64_t at = view.base + uint64_t(x * view.step) + uint64_t(f * SIZE);
    if (DTYPE == DTYPE_F32)
        return uintBitsToFloat(words_at(at).word);
    uint bits = uint(halves_at(at).half_word);
    return DTYPE == DTYPE_F16 ? f16_of_bits(bits) : bf16_of_bits(bits);
}

// Rows of an operand on their way to shared memory, eight features at a time where they consist of
// such; else one by one, by a loop that stays one: what seldom runs must be short, even where it
// never runs it costs.
struct row_source {
    rows_view view;
    uint64_t at; // where the invocation's eight features of its first row lie
    int feature; // the first of them
};

// The work-group's invocations share a row by `units`.
row_source source_of(rows_view view, int first, int units)
{
    int feature = thread % units * 8;
    return row_source(view,
                      view.base + uint64_t((first + thread / units) * view.step) +
                          uint64_t(feature * SIZE),
                      feature);
}

bool has_eights(rows_view view)
{
    return view.vectors && (WHOLE == 1 || view.width % 8 == 0);
}

// The same features, f further on, of row x, which is `apart` behind the first.
void load_eight(row_source from, int x, int apart, int f, out uvec4 low, out uvec4 high)
{
    low = high = uvec4(0u);
    if (WHOLE == 0 && (!is_there(from.view.there, x) || f + from.feature >= from.view.width))
        return;
    uint64_t at = from.at + uint64_t(apart * from.view.step) + uint64_t(f * SIZE);
    low = vectors_at(at).words;
    if (DTYPE == DTYPE_F32)
        high = vectors_at(at + 16).words;
}

// A step of scores: features f ... f + DEPTH - 1 of `count` rows.
void put_step(row_source from, int target, int first, int count, int f)
{
    if (has_eights(from.view)) {
        [[unroll]] for (int n = 0; n < count; n += THREADS)
            if (thread + n < count) {
                uvec4 low, high;
                int at = target + (thread + n) * DEPTH_PITCH;
                load_eight(from, first + thread + n, n, f, low, high);
                pool[at] = first_four(low);
                pool[at + 1] = second_four(low, high);
            }
    } else {
        [[dont_unroll]] for (int i = thread; i < count * DEPTH; i += THREADS)
            pool[target + i / DEPTH * DEPTH_PITCH + i % DEPTH / 4][i % 4] =
                load_one(from.view, first + i / DEPTH, f + i % DEPTH);
    }
}

// In the order of features: every tile and every form gets the same bits.
float dot_on(vec4 a, vec4 b, float sum_so_far)
{
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum_so_far))));
}

void add_step()
{
    [[unroll]] for (int f = 0; f < DEPTH / 4; f++) {
        vec4 k[CI];
        [[unroll]] for (int c = 0; c < CI; c++)
            k[c] = pool[COLUMNS_AT + (c * TX + tx) * DEPTH_PITCH + f];
        [[unroll]] for (int r = 0; r < RI; r++) {
            vec4 q = pool[row_of(r) * DEPTH_PITCH + f];
            [[unroll]] for (int c = 0; c < CI; c++)
                scores[r * CI + c] = dot_on(q, k[c], scores[r * CI + c]);
        }
    }
}

// Raw products of the invocation's rows with its columns of the tile at `first`.
void find_scores(rows_view rows, rows_view columns, int first)
{
    row_source from_rows = source_of(rows, row0, 1);
    row_source from_columns = source_of(columns, first, 1);
    [[unroll]] for (int i = 0; i < RI * CI; i++)
        scores[i] = 0.0;
    for (int f = 0; f < push.depth; f += DEPTH) {
        barrier();
        put_step(from_rows, 0, row0, ROWS, f);
        put_step(from_columns, COLUMNS_AT, first, COLUMNS, f);
        barrier();
        add_step();
    }
}

// A step of outputs: TX rows of an operand. Of each eight features the first four lie in the first
// half of a row, the others in the second: the writers of a row then meet all banks.
const int OUT_UNITS = OUT / 8;
const int CHUNK_LOADS = (TX * OUT_UNITS + THREADS - 1) / THREADS;
uvec4 next_chunk[HELD * CHUNK_LOADS * WORDS];

int out_vector(int held, int row, int unit)
{
    return OPERANDS_AT + (held * TX + row) * (OUT / 4) + unit;
}

// Into registers, ahead of the barrier behind which they are put.
void fetch_chunk(row_source from, int held, int x)
{
    if (!has_eights(from.view))
        return;
    [[unroll]] for (int n = 0; n < CHUNK_LOADS; n++) {
        int apart = n * THREADS / OUT_UNITS, row = thread / OUT_UNITS + apart;
        if (row < TX) {
            uvec4 low, high;
            load_eight(from, x + row, x + apart, 0, low, high);
            next_chunk[(held * CHUNK_LOADS + n) * WORDS + WORDS - 1] = high;
            next_chunk[(held * CHUNK_LOADS + n) * WORDS] = low;
        }
    }
}

void put_chunk(row_source from, int held, int x)
{
    if (has_eights(from.view)) {
        [[unroll]] for (int n = 0; n < CHUNK_LOADS; n++) {
            int row = thread / OUT_UNITS + n * THREADS / OUT_UNITS;
            if (row < TX) {
                int at = out_vector(held, row, thread % OUT_UNITS);
                uvec4 low = next_chunk[(held * CHUNK_LOADS + n) * WORDS];
                uvec4 high = next_chunk[(held * CHUNK_LOADS + n) * WORDS + WORDS - 1];
                pool[at] = first_four(low);
                pool[at + OUT_UNITS] = second_four(low, high);
            }
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < TX * OUT; i += THREADS)
            pool[out_vector(held, i / OUT, i % OUT / 8 + i % 8 / 4 * OUT_UNITS)][i % 4] =
                load_one(from.view, x + i / OUT, i % OUT);
    }
}

// The feature of its part of an output at which the invocation's four begin.
int own_feature()
{
    return tx % OUT_UNITS * 8 + tx / OUT_UNITS * 4;
}

void add_column(int column)
{
    [[unroll]] for (int h = 0; h < HELD; h++) {
        vec4 x = pool[OPERANDS_AT + (h * TX + column) * (OUT / 4) + tx];
        [[unroll]] for (int r = 0; r < RI; r += 4) {
            vec4 weights = pool[column * RUNS_PITCH + r / 4 * TY + ty];
            [[unroll]] for (int i = 0; i < 4; i++)
                sums[h * RI + r + i] = fma(vec4(weights[i]), x, sums[h * RI + r + i]);
        }
    }
}

// Moves an invocation's probabilities on by one column, so that the next are reached by the same
// numbers. By a number that changes they would lie in memory; a copy of the code for each column is
// too much of it; and to let invocations put all of theirs at once, by turns, took longer.
void rotate()
{
    [[unroll]] for (int r = 0; r < RI; r++) {
        float kept = scores[r * CI];
        [[unroll]] for (int c = 1; c < CI; c++)
            scores[r * CI + c - 1] = scores[r * CI + c];
        scores[r * CI + CI - 1] = kept;
    }
}

// Adds up rows of one or two operands weighted by the tile's probabilities, TX columns at a time.
// What is absent has weight 0 and is 0.
void add_outputs(rows_view one, rows_view two, int first)
{
    row_source from_one = source_of(one, 0, OUT_UNITS), from_two = source_of(two, 0, OUT_UNITS);
    fetch_chunk(from_one, 0, first);
    if (HELD == 2)
        fetch_chunk(from_two, 1, first);
    // Another part of the outputs wants the probabilities where they were.
    const int chunks = ONE_TILE == 1 ? CI : min(CI, (column_count - first + TX - 1) / TX);
    for (int c = 0; c < chunks; c++) {
        int x = first + c * TX;
        barrier();
        [[unroll]] for (int r = 0; r < RI; r += 4)
            pool[tx * RUNS_PITCH + r / 4 * TY + ty] =
                vec4(scores[r * CI], scores[(r + 1) * CI], scores[(r + 2) * CI],
                     scores[(r + 3) * CI]);
        put_chunk(from_one, 0, x);
        if (HELD == 2)
            put_chunk(from_two, 1, x);
        barrier();
        if (c + 1 < chunks) {
            fetch_chunk(from_one, 0, x + TX);
            if (HELD == 2)
                fetch_chunk(from_two, 1, x + TX);
        }
        rotate();
        [[unroll]] for (int i = 0; i < TX; i++)
            add_column(i);
    }
}

#endif
