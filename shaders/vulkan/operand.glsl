// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_OPERAND_GLSL
#define MN_VULKAN_OPERAND_GLSL

#include "shaders/vulkan/params.glsl"

#include "shaders/vulkan/number.glsl"

// One element at a time, of any operand. With DESCRIPTORS nothing but 32-bit words are read and
// written: a half, or a byte of the mask, is a part of one. What is bound ends with a whole word.

#if defined(DESCRIPTORS)
// What each operand lies in, 3 bits each, as mn_source of core/step.h; and whether any of them has
// 16 bits. Constants, so that one access is left of each call for a certain operand.
layout(constant_id = 1) const uint SOURCES = 0u;
layout(constant_id = 2) const bool HAS_HALVES = true;

layout(binding = 0, std430) buffer bound_words {
    uint words[];
} bound[6];

uint source_of(int number)
{
    return SOURCES >> 3 * number & 7u;
}

uint read_word(int number, uint at)
{
    switch (source_of(number)) {
    case 1:
        return bound[0].words[at];
    case 2:
        return bound[1].words[at];
    case 3:
        return bound[2].words[at];
    case 4:
        return bound[3].words[at];
    default:
        return bound[5].words[at];
    }
}

void write_word(int number, uint at, uint word)
{
    if (source_of(number) == 5)
        bound[4].words[at] = word;
    else
        bound[5].words[at] = word;
}

// Sets the bits of a word that are not `kept`, which others may write at the same time.
void write_bits(int number, uint at, uint kept, uint bits)
{
    if (source_of(number) == 5) {
        atomicAnd(bound[4].words[at], kept);
        atomicOr(bound[4].words[at], bits);
    } else {
        atomicAnd(bound[5].words[at], kept);
        atomicOr(bound[5].words[at], bits);
    }
}

// Added before it is divided: with padding in front the address is below 0, modulo 2^32.
uint byte_of(int number, int offset, uint size)
{
    return uint(LOW(push.address[number])) + size * uint(offset);
}
#else
layout(buffer_reference, std430, buffer_reference_align = 4) buffer words_at {
    uint word;
};
layout(buffer_reference, std430, buffer_reference_align = 2) buffer halves_at {
    uint16_t half_word;
};
layout(buffer_reference, std430, buffer_reference_align = 1) readonly buffer bytes_at {
    uint8_t byte;
};
#endif

// The (batch, head, group) that a work-group is about.
struct task_place {
    index_t batch, group;
    int head;
};

task_place place_of(index_t task)
{
    task_place at;
    index_t head;
    if (task >> 31 == 0) { // several times faster
        head = index_t(uint(task) / uint(STAGE.groups));
        at.group = index_t(uint(task) % uint(STAGE.groups));
        at.head = int(uint(head) % uint(STAGE.heads));
        at.batch = index_t(uint(head) / uint(STAGE.heads));
    } else {
        head = task / STAGE.groups;
        at.group = task % STAGE.groups;
        at.head = int(head % STAGE.heads);
        at.batch = head / STAGE.heads;
    }
    return at;
}

// Offset in elements of feature 0 of row or column x.
index_t row_offset(int number, task_place at, index_t x)
{
    int head = at.head, share = STAGE.operand[number].head_share;
    if (share > 1) // seldom, and a division takes as long as all else here
        head /= share;
    return at.batch * LOW(STAGE.operand[number].batch) + head * LOW(STAGE.operand[number].head) +
           at.group * LOW(STAGE.operand[number].group) + x * LOW(STAGE.operand[number].index);
}

#if defined(DESCRIPTORS)
float load_f32(int number, int offset)
{
    return uintBitsToFloat(read_word(number, byte_of(number, offset, 4u) / 4u));
}

void store_f32(int number, int offset, float value)
{
    write_word(number, byte_of(number, offset, 4u) / 4u, floatBitsToUint(value));
}

bool is_f32(int dtype)
{
    return !HAS_HALVES || dtype == DTYPE_F32;
}

float load_element(int number, int dtype, int offset)
{
    uint at = byte_of(number, offset, is_f32(dtype) ? 4u : 2u);
    uint word = read_word(number, at / 4u), bits = word >> 8u * (at & 2u) & 0xffffu;
    if (is_f32(dtype))
        return uintBitsToFloat(word);
    return dtype == DTYPE_F16 ? f16_of_bits(bits) : bf16_of_bits(bits);
}

void store_element(int number, int dtype, int offset, float value)
{
    if (is_f32(dtype)) {
        store_f32(number, offset, value);
        return;
    }
    uint at = byte_of(number, offset, 2u), shift = 8u * (at & 2u);
    uint bits = dtype == DTYPE_F16 ? bits_of_f16(value) : bits_of_bf16(value);
    write_bits(number, at / 4u, ~(0xffffu << shift), bits << shift);
}

bool mask_of(int offset)
{
    uint at = byte_of(OPERAND_MASK, offset, 1u);
    return (read_word(OPERAND_MASK, at / 4u) >> 8u * (at & 3u) & 0xffu) != 0u;
}
#else
float load_f32(int number, int64_t offset)
{
    return uintBitsToFloat(words_at(push.address[number] + uint64_t(offset) * 4).word);
}

void store_f32(int number, int64_t offset, float value)
{
    words_at(push.address[number] + uint64_t(offset) * 4).word = floatBitsToUint(value);
}

float load_element(int number, int dtype, int64_t offset)
{
    if (dtype != DTYPE_F32) {
        uint bits = uint(halves_at(push.address[number] + uint64_t(offset) * 2).half_word);
        return dtype == DTYPE_F16 ? f16_of_bits(bits) : bf16_of_bits(bits);
    }
    return load_f32(number, offset);
}

void store_element(int number, int dtype, int64_t offset, float value)
{
    if (dtype != DTYPE_F32) {
        uint bits = dtype == DTYPE_F16 ? bits_of_f16(value) : bits_of_bf16(value);
        halves_at(push.address[number] + uint64_t(offset) * 2).half_word = uint16_t(bits);
        return;
    }
    store_f32(number, offset, value);
}

bool mask_at(uint64_t address)
{
    return uint(bytes_at(address).byte) != 0u;
}

bool mask_of(int64_t offset)
{
    return mask_at(push.address[OPERAND_MASK] + uint64_t(offset));
}
#endif

// Whether (group, x) is a token of the sequence, masked or not.
bool is_token(task_place at, index_t x)
{
    index_t token =
        at.group * LOW(STAGE.token_group) + x * LOW(STAGE.token_index) - LOW(STAGE.first);
    return token >= 0 && token < LOW(STAGE.tokens);
}

// Whether it is one, and not masked.
bool is_present(task_place at, index_t x)
{
    if (!is_token(at, x))
        return false;
    return STAGE.operand[OPERAND_MASK].width == 0 || mask_of(row_offset(OPERAND_MASK, at, x));
}

#endif
