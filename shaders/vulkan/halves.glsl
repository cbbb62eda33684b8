// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_HALVES_GLSL
#define MN_VULKAN_HALVES_GLSL

// Rows of 16-bit elements, eight at a time.

#if defined(BF16)
uint pack(float low, float high)
{
    return bits_of_bf16(low) | bits_of_bf16(high) << 16;
}

uint bits_of(float x)
{
    return bits_of_bf16(x);
}

vec4 limit_overflow(vec4 x)
{
    return x;
}
#else
uint pack(float low, float high)
{
    return packHalf2x16(vec2(low, high));
}

uint bits_of(float x)
{
    return bits_of_f16(x);
}

// Sums of f16 values weighted by rounded weights may come out a little above the largest f16: that
// is the result then, not infinity. Values that are infinite stay so.
vec4 limit_overflow(vec4 x)
{
    return mix(x, clamp(x, -65504.0, 65504.0), lessThan(abs(x), vec4(65504.0 * 1.001)));
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
    [[dont_unroll]] for (int i = 0; i < 8 && feature + i < view.width; i++)
        words[i / 2] |= uint(halves_at(row + uint64_t(feature + i) * 2).half_word) << i % 2 * 16;
    return words;
}

void store_eight(rows_view view, int x, int feature, vec4 low, vec4 high, float factor)
{
    if (!is_there(view.there, x) || feature >= view.width)
        return;
    low = factor == 0.0 ? vec4(0.0) : limit_overflow(low * factor); // 0 * NaN is NaN
    high = factor == 0.0 ? vec4(0.0) : limit_overflow(high * factor);
    uint64_t row = view.base + uint64_t(x * view.step);
    if (view.vectors && feature + 8 <= view.width) {
        vectors_at(row + uint64_t(feature) * 2).words =
            uvec4(pack(low.x, low.y), pack(low.z, low.w), pack(high.x, high.y),
                  pack(high.z, high.w));
        return;
    }
    [[dont_unroll]] for (int i = 0; i < 8 && feature + i < view.width; i++)
        halves_at(row + uint64_t(feature + i) * 2).half_word =
            uint16_t(bits_of(i < 4 ? low[i % 4] : high[i % 4]));
}

#endif
