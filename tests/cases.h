/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CASES_H
#define TESTS_CASES_H

#include <stddef.h>
#include <stdint.h>

#include <monarch/problem.h>

/*
 * The one case table. Every test of numbers runs all of it on every device and variant; the
 * bench may take its shapes from here. A case is a problem, where its tensors lie in memory, and
 * what they hold. A field left out of the table is 0.
 */

/* What q, k and v hold: independent normal numbers, unless the comment says otherwise. */
typedef enum test_content {
    CONTENT_NORMAL = 0,   /* scores around 1 */
    CONTENT_TINY,         /* scores around 1e-4: nearly uniform weights */
    CONTENT_LARGE,        /* scores up to about 30 */
    CONTENT_HUGE,         /* scores up to about 1e4: weights are 0 or 1 */
    CONTENT_SHIFTED,      /* every key feature has the mean 4 */
    CONTENT_BIG_Q,        /* q around 8000: sums of queries leave the range of f16 */
    CONTENT_BIG_K,        /* k around 8000: s * k leaves the range of f16 for a large s */
    CONTENT_BIG_V,        /* v around 15000: sums of values leave the range of f16 */
    CONTENT_EQUAL_KEYS,   /* the keys of a block are all equal */
    CONTENT_EQUAL_BLOCKS, /* q, k and v repeat from block to block */
    CONTENT_ZERO,         /* q and k are 0: uniform weights */
    CONTENT_ONES,         /* v is 1 */
    CONTENT_LARGEST,      /* v is the largest f16 */
    CONTENT_COUNT
} test_content;

typedef enum test_mask {
    MASK_NONE = 0,
    MASK_FULL,     /* a mask is given, but nothing is masked */
    MASK_RANDOM,   /* about a third of the tokens */
    MASK_TRAILING, /* the end of each sequence, another length for each batch entry */
    MASK_BLOCKS,   /* about half of the blocks whole, and some tokens elsewhere */
    MASK_POSITION, /* two positions in every block: no query there chooses any block */
    MASK_SEQUENCE, /* every token of batch entry 0, and a random third elsewhere */
    MASK_ONE,      /* all tokens but one */
    MASK_COUNT
} test_mask;

typedef enum test_layout {
    LAYOUT_PACKED = 0,      /* [batch, head, token, feature], strides left 0 */
    LAYOUT_BSHD,            /* [batch, token, head, feature] */
    LAYOUT_QKV,             /* q, k, v side by side in [batch, token, all heads, feature] */
    LAYOUT_BROADCAST_BATCH, /* batch stride 0 in k, v and mask */
    LAYOUT_BROADCAST_HEAD,  /* head stride 0 in k and v, batch stride 0 in q */
    LAYOUT_BROADCAST_TOKEN, /* token stride 0 in k: all keys equal */
    LAYOUT_GRID,            /* a row-major grid of tokens whose columns are the blocks */
    LAYOUT_GAPS,            /* odd gaps between tokens, blocks, heads and batch entries */
    LAYOUT_OFFSET,          /* packed, but one element after an aligned address */
    LAYOUT_NEGATIVE,        /* q backwards in tokens, k in heads, v in batch entries */
    LAYOUT_FEATURE,         /* every second element */
    LAYOUT_COUNT
} test_layout;

/* What masked rows hold. */
typedef enum test_masked {
    MASKED_ORDINARY = 0,
    MASKED_KV_NAN, /* NaN and infinities in k and v */
    MASKED_ALL_NAN /* in q as well: these may reach only their own output rows */
} test_masked;

/* The columns of the table. */
typedef struct test_shape {
    int64_t batch, heads;
    int64_t kv_heads; /* 0 = heads */
    int64_t tokens;
    int64_t head_dim;
    int64_t value_dim; /* 0 = head_dim */
    int64_t block;     /* 0 = the library's choice */
    int32_t steps;
} test_shape;

typedef struct test_case {
    const char *name;
    test_shape shape;
    float scale; /* 0 = 1 / sqrt(head_dim) */
    monarch_pad pad;
    test_content content;
    test_mask mask;
    test_layout layout;
    test_masked masked;
    int fp8;   /* 1: fp8 intermediates */
    int mixed; /* q, k and v of three dtypes: the one asked for and the two after it */
    /* Those that run it: of a feature that others lack, or large, and of a shape that their kernels
       treat apart; names joined by ','. NULL: all. */
    const char *backend;
    const char *variant; /* the only one that runs it; NULL: all */
    int halves;          /* 1: not with f32, which those that run it do not take */
} test_case;

extern const test_case test_cases[];
extern const size_t test_case_count;

/* The case of that name, or NULL. */
const test_case *test_case_find(const char *name);

/* The problem of a case, strides still 0. */
monarch_problem test_case_problem(const test_case *c, monarch_dtype dtype);

const char *test_content_name(test_content content);
const char *test_mask_name(test_mask mask);
const char *test_layout_name(test_layout layout);

/* The case as one line, without line end; returns its length as snprintf does. */
int test_case_print(const test_case *c, char *text, size_t capacity);

#endif
