/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_DEVICE_SCENE_H
#define TESTS_CHECKS_DEVICE_SCENE_H

#include "../fixture.h"

/* One execution of fixture_problem on any device, in f16 and with a mask, on buffers. */
typedef struct device_scene {
    monarch_instance_params params;
    const char *name;    /* of the device */
    const char *variant; /* NULL = its choice */
    const char *bytes;   /* q, k, v, as many bytes as each wants, and 1 for no mask */
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_plan *plan;
    monarch_buffer *q, *k, *v, *mask, *out, *workspace;
    monarch_plan_args args;
    uint16_t result[FIXTURE_OUT];
} device_scene;

/* What a life is made of, in order; each leaves its handle NULL when it fails. */
typedef struct device_step {
    const char *name;
    monarch_status (*run)(device_scene *s, monarch_error *error);
} device_step;

extern const device_step device_steps[];
extern const size_t device_step_count;

/* A scene for a device by name, without anything made yet; inputs depend on `seed` alone. */
void device_scene_init(device_scene *s, const char *name, const char *variant, uint64_t seed);

/* The steps from one name on to another, both included; fails the test when one fails. */
void device_scene_run(device_scene *s, const char *first, const char *last);

/* Destroys what is there, the instance last. */
void device_scene_close(device_scene *s);

/* Executes once more on the scene's own tensors, and reads `out` back. */
monarch_status device_scene_execute(device_scene *s, monarch_error *error);

/*
 * Calls `visit` for each device of each backend (of one alone if `backend` is not NULL) with its
 * name and variants, the cpu last. Returns how many there are.
 */
int device_scene_visit(const char *backend, void (*visit)(const char *name, const char *variants));

#endif
