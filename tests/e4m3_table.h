/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E4M3_TABLE_H
#define TESTS_E4M3_TABLE_H

/*
 * Numbers and what e4m3 makes of them, worked out by hand: between 2^n and 2^(n+1) its steps are
 * 2^(n-3), below 2^-6 they are 2^-9. All numbers are exact in bf16 but the two that say so.
 */
static const struct {
    float value, rounded;
} e4m3_table[] = {
    {448.0f, 448.0f},       /* the largest */
    {1.0625f, 1.0f},        /* half way between 1 and 1.125: 8 steps of 1/8 is even */
    {1.1875f, 1.25f},       /* half way between 1.125 and 1.25: 10 steps */
    {1.07f, 1.125f},        /* about: 0.055 away, and 0.07 from 1 */
    {15.5f, 16.0f},         /* half way between 15 steps and the next power of 2 */
    {-17.0f, -16.0f},       /* half way between 8 steps and 9 steps of 2 */
    {432.0f, 448.0f},       /* half way between 13 steps and 14 steps of 32 */
    {415.0f, 416.0f},       /* 416 is 13 steps of 32; bf16 has 416 for it */
    {0x1p-6f, 0x1p-6f},     /* the least normal number */
    {0x1p-7f, 0x1p-7f},     /* subnormal: 4 steps of 2^-9 */
    {0x1p-9f, 0x1p-9f},     /* the least of all */
    {0x1p-10f, 0.0f},       /* half a step */
    {-0x1.8p-9f, -0x1p-8f}, /* one step and a half */
    {0x1.ep-7f, 0x1p-6f},   /* seven steps and a half */
    {-0.296875f, -0.3125f}, /* 9.5 steps of 1/32, to 10 */
    {0.0f, 0.0f},
};

enum { E4M3_TABLE = sizeof e4m3_table / sizeof e4m3_table[0] };

#endif
