// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ATTEND_FMA_GLSL
#define MN_VULKAN_ATTEND_FMA_GLSL

// Variant tiled. All columns are worked on at once where an invocation's registers hold their
// scores: its sums of outputs then follow one part of their features after the other. Longer rows
// go by tiles of columns, with an online softmax.

#include "shaders/vulkan/row.glsl"
#include "shaders/vulkan/tile_fma.glsl"

// Numbers of a row are found by one invocation, number i those of row i, from what its TX leave in
// shared memory.
shared vec4 bases[ROWS / 4];   // the largest score, 0 for none
shared vec4 factors[ROWS / 4]; // by what earlier sums shrink; at the end, 1 / sum

const bool HAS_TERMS = !(IS_RIGHT && WHOLE == 1);
shared float terms[2 * COLUMNS]; // two to take off the scores of a column

void put_terms(rows_view columns, int first)
{
    if (!HAS_TERMS)
        return;
    for (int c = thread; c < COLUMNS; c += THREADS) {
        vec2 term = terms_of(columns.there, first + c);
        terms[c] = term.x;
        terms[COLUMNS + c] = term.y;
    }
}

// Scores from raw products. With two terms a score is log2 of a probability, and they are taken off
// one after the other, in the order in which they were found: then it is exact where the
// probability is near 1. A compiler may add them up before unless the result is precise. What is
// absent gets -inf whatever the product is.
void take_off_terms(inout float top[RI], float row_terms[RI])
{
    [[unroll]] for (int r = 0; r < RI; r++)
        top[r] = -INFINITY;
    [[unroll]] for (int c = 0; c < CI; c++) {
        float one = HAS_TERMS ? terms[c * TX + tx] : 0.0;
        float two = FORM == LEFT_MEAN ? terms[COLUMNS + c * TX + tx] : 0.0;
        [[unroll]] for (int r = 0; r < RI; r++) {
            precise float score = fma(scores[r * CI + c], push_scale, -one);
            if (FORM == LEFT_MEAN)
                score = fma(scores[r * CI + c], push_scale, -row_terms[r]) - one - two;
            if (WHOLE == 0 && (is_infinite(one) || is_infinite(row_terms[r])))
                score = -INFINITY;
            scores[r * CI + c] = score;
            top[r] = max(top[r], score);
        }
    }
}

void put_rows(int at, float values[RI])
{
    [[unroll]] for (int r = 0; r < RI; r += 4)
        pool[at + r / 4 * TY + ty] =
            vec4(values[r], values[r + 1], values[r + 2], values[r + 3]);
}

float partial(int at, int i)
{
    return pool[at + i * RUNS_PITCH + thread / 4][thread % 4];
}

// A tile's scores become 2^(score - largest). What that takes of earlier sums is in `factors`.
void soften(float row_terms[RI])
{
    float values[RI], entropies[RI];
    take_off_terms(values, row_terms);
    barrier(); // the last products have been made
    put_rows(tx * RUNS_PITCH, values);
    barrier();
    float shrink = 0.0, lost = 0.0;
    if (thread < ROWS) {
        float before = largest;
        [[unroll]] for (int i = 0; i < TX; i++)
            largest = max(largest, partial(0, i));
        float base = is_minus_infinite(largest) ? 0.0 : largest;
        shrink = is_minus_infinite(before) ? 0.0 : exp2_of(before - base);
        if (!is_minus_infinite(before)) // 0 * -inf is no number
            lost = max(before - base, -1000.0);
        bases[thread / 4][thread % 4] = base;
        factors[thread / 4][thread % 4] = shrink;
    }
    barrier();
    [[unroll]] for (int r = 0; r < RI; r++)
        values[r] = entropies[r] = 0.0;
    [[unroll]] for (int r = 0; r < RI; r++) {
        float base = bases[r / 4 * TY + ty][r % 4];
        [[unroll]] for (int c = 0; c < CI; c++) {
            float y = scores[r * CI + c] - base, power = exp2_of(y);
            scores[r * CI + c] = power;
            values[r] += power;
            if (IS_RIGHT)
                entropies[r] = fma(power, max(y, -1000.0), entropies[r]);
        }
    }
    put_rows(tx * RUNS_PITCH, values);
    if (IS_RIGHT)
        put_rows((TX + tx) * RUNS_PITCH, entropies);
    barrier();
    if (thread < ROWS) {
        float more = 0.0, more_entropy = 0.0;
        [[unroll]] for (int i = 0; i < TX; i++) {
            more += partial(0, i);
            if (IS_RIGHT)
                more_entropy += partial(TX * RUNS_PITCH, i);
        }
        entropy = fma(shrink, fma(lost, sum, entropy), more_entropy);
        sum = fma(shrink, sum, more);
    }
}

// Factor 0 stands for a row of zeros: there was no column, or the row itself is an absent block.
void finish_row()
{
    if (thread >= ROWS)
        return;
    int x = row0 + thread;
    bool empty = sum == 0.0;
    if (FORM == LEFT_MEAN && x < row_count)
        empty = empty || is_infinite(row_bias_of(x));
    factors[thread / 4][thread % 4] = empty ? 0.0 : 1.0 / sum;
    if (leads && x < row_count)
        store_scalars(x, empty);
}

float factor_of(int r)
{
    return factors[r / 4 * TY + ty][r % 4];
}

// Sums of f16 values weighted by rounded weights may come out a little above the largest f16: that
// is the result then, not infinity, which is what up to 65568 would be rounded to. Values that are
// infinite stay so.
float to_f16(float x)
{
    float rounded = round_to_f16(x);
    return abs(rounded) == 65536.0 ? rounded * (65504.0 / 65536.0) : rounded;
}

uint pack(float low, float high)
{
    if (DTYPE == DTYPE_F16)
        return packHalf2x16(vec2(to_f16(low), to_f16(high)));
    return bits_of_bf16(low) | bits_of_bf16(high) << 16;
}

void store_four(rows_view view, int x, int feature, vec4 value)
{
    if (!is_present(view.there, x) || feature >= view.width)
        return;
    uint64_t at = view.base + uint64_t(x * view.step) + uint64_t(feature * SIZE);
    bool whole = view.vectors && feature + 4 <= view.width;
    if (DTYPE == DTYPE_F32) {
        if (whole)
            vectors_at(at).words = floatBitsToUint(value);
        else
            [[unroll]] for (int i = 0; i < 4; i++)
                if (feature + i < view.width)
                    words_at(at + i * 4).word = floatBitsToUint(value[i]);
        return;
    }
    uvec2 pairs = uvec2(pack(value.x, value.y), pack(value.z, value.w));
    if (whole)
        pairs_at(at).words = pairs;
    else
        [[unroll]] for (int i = 0; i < 4; i++)
            if (feature + i < view.width)
                halves_at(at + i * 2).half_word = uint16_t(pairs[i / 2] >> i % 2 * 16);
}

void store_sums(int number, int held, int begin)
{
    rows_view view = view_of(number, FORM == LEFT_OUT ? tokens_of(row_count) : all_of(row_count),
                             begin);
    [[unroll]] for (int r = 0; r < RI; r++) {
        float factor = factor_of(r);
        vec4 value = sums[held * RI + r] * factor;
        if (WHOLE == 0 && factor == 0.0) // 0 * NaN is NaN
            value = vec4(0.0);
        store_four(view, row0 + row_of(r), own_feature(), value);
    }
}

// A part of the features of the outputs: with HELD 2 the same part of both.
struct output_part {
    int begin;
    bool of_mean; // with HELD 1
};

rows_view operand_of(output_part part, presence there)
{
    return view_of(part.of_mean ? COLUMN_OPERAND : OPERAND_VALUES, there, part.begin);
}

void add_part(output_part part, presence there, int first)
{
    rows_view one = operand_of(part, there), two = one;
    if (HELD == 2)
        two = view_of(OPERAND_VALUES, there, part.begin);
    add_outputs(one, two, first);
}

void store_part(output_part part)
{
    store_sums(part.of_mean ? OPERAND_MEAN : OPERAND_RESULT, 0, part.begin);
    if (HELD == 2)
        store_sums(OPERAND_RESULT, 1, part.begin);
}

void set_sums_zero()
{
    [[unroll]] for (int i = 0; i < HELD * RI; i++)
        sums[i] = vec4(0.0);
}

void shrink_sums()
{
    [[unroll]] for (int r = 0; r < RI; r++)
        [[unroll]] for (int h = 0; h < HELD; h++)
            sums[h * RI + r] *= factor_of(r);
}

int parts_of(int number)
{
    return (push.p.operand[number].width + OUT - 1) / OUT;
}

// One part after the other, where scores of all columns are at hand.
void make_outputs(presence there)
{
    int means = HAS_MEAN ? parts_of(OPERAND_MEAN) : 0;
    int results = HAS_RESULT ? parts_of(OPERAND_RESULT) : 0;
    int parts = HELD == 2 ? max(means, results) : means + results;
    for (int i = 0; i < parts; i++) {
        bool of_mean = HAS_MEAN && (!HAS_RESULT || i < means || HELD == 2);
        output_part part = output_part((of_mean ? i : i - means) * OUT, of_mean);
        set_sums_zero();
        add_part(part, there, 0);
        store_part(part);
    }
}

void main()
{
    if (!find_place())
        return;
    take_seat();
    largest = -INFINITY;
    sum = entropy = 0.0;
    float row_terms[RI];
    [[unroll]] for (int r = 0; r < RI; r++) {
        row_terms[r] = 0.0;
        if (FORM == LEFT_MEAN)
            row_terms[r] = row0 + row_of(r) < row_count ? row_bias_of(row0 + row_of(r)) : INFINITY;
    }
    rows_view rows = view_of(ROW_OPERAND, rows_read(), 0);
    rows_view columns = view_of(COLUMN_OPERAND, columns_there(), 0);
    if (ONE_TILE == 1) {
        put_terms(columns, 0);
        find_scores(rows, columns, 0);
        soften(row_terms);
        finish_row();
        if (FORM != LEFT_STATS)
            make_outputs(columns.there);
        return;
    }
    output_part part = output_part(chunk_begin, HAS_MEAN && with_mean);
    set_sums_zero();
    for (int first = 0; first < column_count; first += COLUMNS) {
        put_terms(columns, first);
        find_scores(rows, columns, first);
        soften(row_terms);
        if (FORM != LEFT_STATS) {
            if (first > 0)
                shrink_sums();
            add_part(part, columns.there, first);
        }
    }
    finish_row();
    barrier();
    if (FORM != LEFT_STATS)
        store_part(part);
}

#endif
