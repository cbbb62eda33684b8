/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_CUDA_SCENE_H
#define TESTS_CHECKS_CUDA_SCENE_H

#include "fake_cuda/fake_cuda.h"
#include "fixture.h"

/* The cuda backend on the stand-in driver: an instance with its first device, and what one
 * execution of fixture_problem needs, in f16 and with a mask. */
typedef struct cuda_scene {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_plan *plan;
    monarch_buffer *q, *k, *v, *mask, *out, *workspace;
    monarch_plan_args args;
    int allocations;   /* of host memory, alive */
    uint64_t requests; /* of host memory, ever */
    char log[4096];    /* warnings */
} cuda_scene;

/* Each fails the test when it cannot. */
void cuda_scene_open(cuda_scene *s);                         /* instance and device */
void cuda_scene_prepare(cuda_scene *s, const char *variant); /* the rest */
void cuda_scene_close(cuda_scene *s);                        /* all of it; nothing may be left */

/* Parameters of an instance with the cuda backend alone, on the scene's allocator and log. */
monarch_instance_params cuda_scene_params(cuda_scene *s);

/* One that a variant takes, NULL for all but slice, and how many elements its largest tensor has.
 */
monarch_problem cuda_scene_problem(const char *variant);
size_t cuda_scene_elements(const char *variant);

/* Calls `visit` with the name of each variant of the device. */
void cuda_scene_variants(const monarch_device *device, void (*visit)(const char *variant));

/* A plan for f16 tensors, or a failed test; NULL stands for the variant that is chosen. */
monarch_plan *cuda_scene_plan(const cuda_scene *s, const monarch_problem *problem,
                              const char *variant);

monarch_problem cuda_scene_shape(int64_t batch, int64_t heads, int64_t tokens, int64_t block,
                                 int64_t dim, int32_t steps);

/* Checks which variant is chosen for the first stage of a problem. */
void cuda_scene_expect(const cuda_scene *s, const monarch_problem *problem, const char *variant);

/* How often a function of the driver was called since fake_cuda_clear(). */
int cuda_scene_calls(const char *name);

/* Nothing of the stand-in is alive, and nothing was misused. */
void cuda_scene_check_clean(void);

#endif
