/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_OPENCL_SCENE_H
#define TESTS_CHECKS_OPENCL_SCENE_H

#include "fake_opencl/fake_opencl.h"
#include "fixture.h"

/* The opencl backend on the stand-in driver: an instance with its first device, and what one
 * execution of fixture_problem needs, in f16 and with a mask. */
typedef struct opencl_scene {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_plan *plan;
    monarch_buffer *q, *k, *v, *mask, *out, *workspace;
    monarch_plan_args args;
    int allocations;   /* of host memory, alive */
    uint64_t requests; /* of host memory, ever */
    char log[4096];    /* warnings */
} opencl_scene;

/* Each fails the test when it cannot. */
void opencl_scene_open(opencl_scene *s);                         /* instance and device */
void opencl_scene_prepare(opencl_scene *s, const char *variant); /* the rest */
void opencl_scene_close(opencl_scene *s); /* all of it; nothing may be left */

/* Parameters of an instance with the opencl backend alone, on the scene's allocator and log. */
monarch_instance_params opencl_scene_params(opencl_scene *s);

monarch_problem opencl_scene_problem(void);

/* Calls `visit` with the name of each variant of the device. */
void opencl_scene_variants(const monarch_device *device, void (*visit)(const char *variant));

/* Nothing of the stand-in is alive, and nothing was misused. */
void opencl_scene_check_clean(void);

#endif
