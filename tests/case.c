/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cases.h"

const test_case *test_case_find(const char *name)
{
    for (size_t i = 0; i < test_case_count; i++)
        if (strcmp(test_cases[i].name, name) == 0)
            return &test_cases[i];
    return NULL;
}

monarch_problem test_case_problem(const test_case *c, monarch_dtype dtype)
{
    monarch_problem problem = monarch_problem_default();

    problem.batch = c->shape.batch;
    problem.heads = c->shape.heads;
    problem.kv_heads = c->shape.kv_heads;
    problem.tokens = c->shape.tokens;
    problem.head_dim = c->shape.head_dim;
    problem.value_dim = c->shape.value_dim;
    problem.block_size = c->shape.block;
    problem.steps = c->shape.steps;
    problem.scale = c->scale;
    problem.pad = c->pad;
    problem.intermediates = c->fp8 ? MONARCH_INTERMEDIATES_FP8 : MONARCH_INTERMEDIATES_DEFAULT;
    problem.has_mask = c->mask != MASK_NONE;
    monarch_problem_set_dtype(&problem, dtype);
    if (c->mixed) {
        problem.k.dtype = (monarch_dtype)((dtype + 1) % 3);
        problem.v.dtype = (monarch_dtype)((dtype + 2) % 3);
    }
    return problem;
}

const char *test_content_name(test_content content)
{
    static const char *const names[CONTENT_COUNT] = {
        "normal", "tiny",       "large",        "huge", "shifted", "big_q",   "big_k",
        "big_v",  "equal_keys", "equal_blocks", "zero", "ones",    "largest",
    };
    return names[content];
}

const char *test_mask_name(test_mask mask)
{
    static const char *const names[MASK_COUNT] = {
        "none", "full", "random", "trailing", "blocks", "position", "sequence", "one",
    };
    return names[mask];
}

const char *test_layout_name(test_layout layout)
{
    static const char *const names[LAYOUT_COUNT] = {
        "packed", "bshd", "qkv",    "broadcast_batch", "broadcast_head", "broadcast_token",
        "grid",   "gaps", "offset", "negative",        "feature",
    };
    return names[layout];
}

int test_case_print(const test_case *c, char *text, size_t capacity)
{
    static const char *const masked[] = {"", " nan=kv", " nan=qkv"};
    monarch_problem p = test_case_problem(c, MONARCH_F32);

    return snprintf(text, capacity,
                    "%s: batch=%" PRId64 " heads=%" PRId64 "/%" PRId64 " tokens=%" PRId64
                    " dim=%" PRId64 "/%" PRId64 " block=%" PRId64 " steps=%d scale=%g pad=%s"
                    " content=%s mask=%s%s layout=%s%s%s",
                    c->name, p.batch, p.heads, p.kv_heads != 0 ? p.kv_heads : p.heads, p.tokens,
                    p.head_dim, p.value_dim != 0 ? p.value_dim : p.head_dim, p.block_size, p.steps,
                    (double)p.scale, p.pad == MONARCH_PAD_BEGIN ? "begin" : "end",
                    test_content_name(c->content), test_mask_name(c->mask), masked[c->masked],
                    test_layout_name(c->layout), c->fp8 ? " fp8 intermediates" : "",
                    c->mixed ? " mixed dtypes" : "");
}
