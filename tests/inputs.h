/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INPUTS_H
#define TESTS_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#include <monarch/problem.h>

#include "cases.h"
#include "oracle.h"

/*
 * The tensors of a case in host memory. Every allocation has guard bands before and after what
 * the tensors span; the guards, the gaps between rows, and the whole output hold NaN at first.
 */
enum { TEST_GUARD = 256, TEST_POISON = 0xff };

typedef struct test_memory {
    unsigned char *bytes;
    size_t size;           /* guards included */
    size_t first, last;    /* the bytes that tensors span, [first, last) */
    unsigned char *before; /* what the memory held before it was handed out */
} test_memory;

/* One tensor, or the mask with heads = features = 1 and bytes for elements. */
typedef struct test_tensor {
    test_memory *memory;
    size_t origin; /* offset in bytes of token 0 in batch entry 0, head 0 */
    size_t element;
    monarch_dtype dtype;
    int64_t batch, heads, tokens, features;
    int64_t block, first;    /* block size, and position of token 0 in its block */
    monarch_strides strides; /* in elements, no default left */
} test_tensor;

enum { TEST_MEMORIES = 5 };

typedef struct test_inputs {
    const test_case *c;
    monarch_dtype dtype;     /* the coarsest of the tensors' */
    monarch_dtype range;     /* the one of them that loses small numbers first */
    monarch_problem problem; /* with the strides of the case, to be passed to the library */
    int64_t block;           /* B and M */
    int64_t blocks;
    test_memory *memory[TEST_MEMORIES]; /* on the heap: copies of this structure share them */
    size_t memories;
    test_tensor q, k, v, out, mask; /* mask.memory is NULL without one */
    uint8_t *valid;                 /* [batch][tokens], 0 = masked; all 1 without a mask */
} test_inputs;

/*
 * Makes the tensors and fills them: the same for the same (case, dtype, seed). Exits
 * the program with a message when memory runs out, as do all helpers of the tests.
 */
void test_inputs_create(test_inputs *inputs, const test_case *c, monarch_dtype dtype,
                        uint64_t seed);

/* The same contents at other places: `layout` must not be one that broadcasts. */
void test_inputs_relayout(test_inputs *inputs, const test_inputs *from, const test_case *c);

void test_inputs_free(test_inputs *inputs);

/* Fills the output with NaN again. */
void test_inputs_reset_output(test_inputs *inputs);

/* Remembers the present contents of all memory as what it held before it was handed out. */
void test_inputs_remember(test_inputs *inputs);

/*
 * Whether something changed that is not an element of the output: an input, a gap or a guard.
 * Then `text` says where.
 */
int test_inputs_touched(const test_inputs *inputs, char *text, size_t capacity);

/* Offset in bytes of feature 0, and one element as a number. */
size_t test_tensor_at(const test_tensor *t, int64_t b, int64_t h, int64_t n);
float test_tensor_get(const test_tensor *t, int64_t b, int64_t h, int64_t n, int64_t f);
void test_tensor_set(test_tensor *t, int64_t b, int64_t h, int64_t n, int64_t f, float value);

/* The output as packed [batch, heads, tokens, value_dim] f32. */
void test_inputs_output(const test_inputs *inputs, float *out);

/* The head of k and v that head h of q reads. */
int64_t test_inputs_kv_head(const test_inputs *inputs, int64_t h);

/* One head as the oracle takes it: q and k [tokens][head_dim], v [tokens][value_dim]. */
oracle_problem test_inputs_oracle(const test_inputs *inputs, int64_t b);
void test_inputs_head(const test_inputs *inputs, int64_t b, int64_t h, double *q, double *k,
                      double *v);

/* One head of the inputs as a problem of its own, in the same memory. Not to be freed. */
test_inputs test_one_head(const test_inputs *inputs, int64_t b, int64_t h);

/* calloc that does not return NULL. */
void *test_alloc(size_t count, size_t size) __attribute__((returns_nonnull));

#endif
