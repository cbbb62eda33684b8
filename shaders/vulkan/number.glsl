// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_NUMBER_GLSL
#define MN_VULKAN_NUMBER_GLSL

// Arithmetic whose precision Vulkan does not promise, and element types as bits.

#define INFINITY uintBitsToFloat(0x7f800000u)
const float LOG2_E = 1.44269504088896341;
const float LN_2 = 0.693147180559945309;

// Compared by bits: a compiler may believe that there are no infinities.
bool is_infinite(float x)
{
    return floatBitsToUint(x) == 0x7f800000u;
}

bool is_minus_infinite(float x)
{
    return floatBitsToUint(x) == 0xff800000u;
}

// 2^x for x <= 128, to about one unit in the last place; results below 2^-126 become 0. Vulkan
// allows exp2 an error that grows with x, and software devices make use of that.
float exp2_exact(float x)
{
    float whole = floor(max(x, -200.0) + 0.5);
    float part = max(x, -200.0) - whole; // in [-1/2, 1/2]
    float sum = 1.535336188319500e-4;
    sum = fma(sum, part, 1.339887440266574e-3);
    sum = fma(sum, part, 9.618437357674640e-3);
    sum = fma(sum, part, 5.550332471162809e-2);
    sum = fma(sum, part, 2.402264791363012e-1);
    sum = fma(sum, part, 6.931472028550421e-1);
    sum = fma(sum, part, 1.0);
    int power = int(whole);
    return power < -126 ? 0.0 : sum * uintBitsToFloat(uint(power + 127) << 23);
}

// log2 of a normal number; -inf for 0.
float log2_exact(float x)
{
    if (x == 0.0)
        return -INFINITY;
    uint bits = floatBitsToUint(x);
    int power = int(bits >> 23) - 127;
    float m = uintBitsToFloat(bits & 0x007fffffu | 0x3f800000u); // in [1, 2)
    if (m > 1.41421356) {
        m *= 0.5;
        power++;
    }
    // log2 m = 2/ln2 (z + z^3/3 + ...), z = (m - 1)/(m + 1), |z| < 0.172
    float z = (m - 1.0) / (m + 1.0), square = z * z;
    float sum = 1.0 / 11.0;
    sum = fma(sum, square, 1.0 / 9.0);
    sum = fma(sum, square, 1.0 / 7.0);
    sum = fma(sum, square, 1.0 / 5.0);
    sum = fma(sum, square, 1.0 / 3.0);
    sum = fma(sum * square, z, z);
    return fma(sum, 2.88539008177792681, float(power));
}

// f32 to the bits of f16, to the nearest, ties to even. All cases are computed and one is selected:
// branches would be taken for each element anew.
uint bits_of_f16(float x)
{
    uint bits = floatBitsToUint(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint odd = size >> 13 & 1u;
    uint normal = size - 0x38000000u + 0xfffu + odd >> 13;
    uint small = uint(roundEven(uintBitsToFloat(size) * 16777216.0)); // below 2^-14: units of 2^-24
    uint large = mix(0x7c00u, 0x7e00u, size > 0x7f800000u);           // infinity, NaN
    return sign | mix(mix(normal, small, size < 0x38800000u), large, size >= 0x47800000u);
}

// The f16 nearest to x, ties to even, as f32, for |x| < 2^114 and what is no number: packHalf2x16
// then has nothing left to round, which it may do in either direction. What is added and taken off
// has its last place where f16 has it.
float round_to_f16(float x)
{
    uint power = max(floatBitsToUint(x) & 0x7f800000u, 0x38800000u);
    float large = uintBitsToFloat(power + 0x06c00000u); // 1.5 * 2^13 times that
    precise float rounded = (x + large) - large;
    return rounded;
}

float f16_of_bits(uint bits)
{
    return unpackHalf2x16(bits & 0xffffu).x;
}

uint bits_of_bf16(float x)
{
    uint bits = floatBitsToUint(x);
    uint number = bits + 0x7fffu + (bits >> 16 & 1u) >> 16;
    return mix(number, bits >> 16 | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}

float bf16_of_bits(uint bits)
{
    return uintBitsToFloat(bits << 16);
}

#endif
