/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONVERT_H
#define TESTS_CONVERT_H

#include <stdint.h>

#include <monarch/types.h>

/* f16 and bf16 by the tests' own code, rounding to nearest, ties to even. */
uint16_t test_f16_from_float(float value);
float test_f16_to_float(uint16_t bits);
uint16_t test_bf16_from_float(float value);
float test_bf16_to_float(uint16_t bits);

/*
 * OCP e4m3: a sign, 4 bits of exponent with bias 7, 3 of mantissa. The bits 1111 111 are NaN, there
 * is no infinity: what is larger than 448 becomes 448.
 */
uint8_t test_e4m3_from_float(float value);
float test_e4m3_to_float(uint8_t bits);

/* A row as it comes back from e4m3 times a power of two of its own (monarch/problem.h). */
void test_round_e4m3(float *row, int64_t count);

/* `value` as an element of that type holds it. */
float test_round(monarch_dtype dtype, float value);

/* Reads and writes one element at an address of any alignment. */
float test_load(monarch_dtype dtype, const void *element);
void test_store(monarch_dtype dtype, void *element, float value);

#endif
