// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_OPERAND_GLSL
#define MN_VULKAN_OPERAND_GLSL

#include "shaders/vulkan/params.glsl"

#include "shaders/vulkan/number.glsl"

// One element at a time, of any operand. With F32_ONLY nothing but 32-bit words are read and
// written, for devices that cannot do with less.

layout(buffer_reference, std430, buffer_reference_align = 4) buffer words_at {
    uint word;
};

#if !defined(F32_ONLY)
layout(buffer_reference, std430, buffer_reference_align = 2) buffer halves_at {
    uint16_t half_word;
};
layout(buffer_reference, std430, buffer_reference_align = 1) readonly buffer bytes_at {
    uint8_t byte;
};
#endif

// The (batch, head, group) that a work-group is about.
struct task_place {
    int64_t batch, group;
    int head;
};

task_place place_of(int64_t task)
{
    task_place at;
    int64_t head;
    if (task >> 31 == 0) { // several times faster
        head = int64_t(uint(task) / uint(push.p.groups));
        at.group = int64_t(uint(task) % uint(push.p.groups));
        at.head = int(uint(head) % uint(push.p.heads));
        at.batch = int64_t(uint(head) / uint(push.p.heads));
    } else {
        head = task / push.p.groups;
        at.group = task % push.p.groups;
        at.head = int(head % push.p.heads);
        at.batch = head / push.p.heads;
    }
    return at;
}

// Offset in elements of feature 0 of row or column x.
int64_t row_offset(int number, task_place at, int64_t x)
{
    int head = at.head, share = push.p.operand[number].head_share;
    if (share > 1) // seldom, and a division takes as long as all else here
        head /= share;
    return at.batch * push.p.operand[number].batch + head * push.p.operand[number].head +
           at.group * push.p.operand[number].group + x * push.p.operand[number].index;
}

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
#if !defined(F32_ONLY)
    if (dtype != DTYPE_F32) {
        uint bits = uint(halves_at(push.address[number] + uint64_t(offset) * 2).half_word);
        return dtype == DTYPE_F16 ? f16_of_bits(bits) : bf16_of_bits(bits);
    }
#endif
    return load_f32(number, offset);
}

void store_element(int number, int dtype, int64_t offset, float value)
{
#if !defined(F32_ONLY)
    if (dtype != DTYPE_F32) {
        uint bits = dtype == DTYPE_F16 ? bits_of_f16(value) : bits_of_bf16(value);
        halves_at(push.address[number] + uint64_t(offset) * 2).half_word = uint16_t(bits);
        return;
    }
#endif
    store_f32(number, offset, value);
}

bool mask_at(uint64_t address)
{
#if defined(F32_ONLY)
    // The word that holds the byte: memory is there in whole words.
    return (words_at(address & ~3ul).word >> 8 * uint(address & 3ul) & 0xffu) != 0u;
#else
    return uint(bytes_at(address).byte) != 0u;
#endif
}

// Whether (group, x) is a token of the sequence, masked or not.
bool is_token(task_place at, int64_t x)
{
    int64_t token =
        at.group * push.p.token_group + x * push.p.token_index - push.p.first;
    return token >= 0 && token < push.p.tokens;
}

// Whether it is one, and not masked.
bool is_present(task_place at, int64_t x)
{
    if (!is_token(at, x))
        return false;
    return push.p.operand[OPERAND_MASK].width == 0 ||
           mask_at(push.address[OPERAND_MASK] + uint64_t(row_offset(OPERAND_MASK, at, x)));
}

#endif
