// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_HALVES_GLSL
#define MN_VULKAN_HALVES_GLSL

// Rows of 16-bit elements, eight at a time.

#if defined(BF16)
uint pack(float low, float high)
{
    return bits_of_bf16(low) | bits_of_bf16(high) << 16;
}

bool is_near_overflow(float x)
{
    return false;
}

float limit_overflow(float x)
{
    return x;
}
#else
uint pack(float low, float high)
{
    return packHalf2x16(vec2(low, high));
}

bool is_near_overflow(float x)
{
    return abs(x) >= 65504.0;
}

// Sums of f16 values weighted by rounded weights may come out a little above the largest f16: that
// is the result then, not infinity. Values that are infinite stay so.
float limit_overflow(float x)
{
    return abs(x) < 65504.0 * 1.001 ? clamp(x, -65504.0, 65504.0) : x;
}
#endif

// Eight features of row x; 0 behind a row's end and where no row is. Masked rows must be: weight 0
// times NaN is NaN.
uvec4 load_eight(rows_view view, int x, int feature)
{
    uvec4 words = uvec4(0u);
    if (!is_there(view.there, x) || feature >= view.width)
        return words;
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 8 <= view.width)
        return vectors_at(row + uint64_t(feature) * 2).words;
    // Elements are reached by number in unrolled loops only: else an array lies in memory.
    [[unroll]] for (int i = 0; i < 8; i++)
        if (feature + i < view.width)
            words[i / 2] |= uint(halves_at(row + uint64_t(feature + i) * 2).half_word)
                            << i % 2 * 16;
    return words;
}

void store_words(rows_view view, int x, int feature, uvec4 words)
{
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 8 <= view.width) {
        vectors_at(row + uint64_t(feature) * 2).words = words;
        return;
    }
    [[unroll]] for (int i = 0; i < 8; i++)
        if (feature + i < view.width)
            halves_at(row + uint64_t(feature + i) * 2).half_word =
                uint16_t(words[i / 2] >> i % 2 * 16);
}

#endif
