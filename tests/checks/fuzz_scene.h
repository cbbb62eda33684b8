/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FUZZ_SCENE_H
#define TESTS_CHECKS_FUZZ_SCENE_H

#include <monarch/monarch.h>
#include <stdbool.h>

/* What the fuzz target makes of its bytes. */
typedef struct fuzz_case {
    monarch_problem problem;
    char device_name[24];
    char variant_name[24];
    bool forced; /* ask for the variant by name */
    bool wild;   /* tensors hold random bits: NaN, Inf, subnormal and huge numbers among them */
    uint64_t seed;
} fuzz_case;

fuzz_case fuzz_decode(const uint8_t *data, size_t size);

/* Whether a plan for this resolved problem is made quickly: plans of huge problems are legal. */
bool fuzz_is_plannable(const monarch_problem *resolved);

/* Host memory for a problem: every tensor in an allocation of just the bytes that it spans. */
typedef struct fuzz_scene {
    monarch_problem problem;
    void *memory[5]; /* q, k, v, mask, out */
    int64_t lowest[5];
    size_t bytes[5];
    uint8_t *is_output; /* one flag per byte of out */
    size_t outputs;     /* elements of out */
    bool wild;
    monarch_plan_args args;
} fuzz_scene;

/* False when the problem is too large to be run here; `resolved` has every default filled in. */
bool fuzz_scene_open(fuzz_scene *scene, const monarch_problem *resolved, const fuzz_case *c);
void fuzz_scene_close(fuzz_scene *scene);

/* Fills the output's memory with NaN before a run. */
void fuzz_scene_reset_output(fuzz_scene *scene);

/* After a run: NULL, or what is wrong with the output's memory. */
const char *fuzz_scene_check_output(const fuzz_scene *scene);

uint64_t fuzz_scene_hash_output(const fuzz_scene *scene);

/* The output's elements as f32 in index order. */
void fuzz_scene_read_output(const fuzz_scene *scene, float *values);

#endif
