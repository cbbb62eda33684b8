/* SPDX-License-Identifier: Apache-2.0 */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_VARIANTS = 32 };

static void print_absent_backends(const monarch_instance *instance)
{
    uint32_t count = monarch_instance_backend_count(instance);

    for (uint32_t i = 0; i < count; i++) {
        monarch_backend_info info = {.struct_size = sizeof info};
        if (monarch_instance_backend(instance, i, &info, NULL) == MONARCH_OK &&
            info.device_count == 0)
            printf("skipped: backend %s: %s\n", info.name, info.reason);
    }
}

/*
 * Whether the manifest has a line 'DEVICE VARIANT NEEDS all' for a target. Needed processor
 * features are there, else the device would not list the variant.
 */
static int is_required(const char *manifest, const test_target *target)
{
    char line[256], device[32], variant[32], needs[128], feature[32];
    FILE *file = manifest != NULL ? fopen(manifest, "r") : NULL;
    int required = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%31s %31s %127s %31s", device, variant, needs, feature) == 4 &&
            strcmp(device, target->name) == 0 && strcmp(variant, target->variant) == 0 &&
            strcmp(feature, "all") == 0)
            required = 1;
    if (file != NULL)
        fclose(file);
    return required;
}

static void add(test_targets *targets, const test_options *options, monarch_device *device,
                const monarch_device_info *info, const char *variant, size_t length)
{
    test_target *target = &targets->list[targets->count];

    memset(target, 0, sizeof *target);
    target->device = device;
    snprintf(target->backend, sizeof target->backend, "%s", info->backend);
    if (info->index == 0)
        snprintf(target->name, sizeof target->name, "%s", info->backend);
    else
        snprintf(target->name, sizeof target->name, "%s:%u", info->backend, info->index);
    snprintf(target->variant, sizeof target->variant, "%.*s", (int)length, variant);
    target->required = is_required(options->manifest, target);
    if (test_options_name(options->device, target->name) &&
        test_options_name(options->variant, target->variant))
        targets->count++;
}

static void add_device(test_targets *targets, const test_options *options, monarch_device *device)
{
    monarch_device_info info = {.struct_size = sizeof info};
    const char *variant = info.variants;

    if (monarch_device_info_get(device, &info, NULL) != MONARCH_OK)
        return;
    printf("device %s:%u: %s, variants %s\n", info.backend, info.index, info.name, info.variants);
    for (int i = 0; i < MOST_VARIANTS && *variant != '\0'; i++) {
        size_t length = strcspn(variant, " ");
        add(targets, options, device, &info, variant, length);
        variant += length + strspn(variant + length, " ");
    }
}

int test_targets_open(test_targets *targets, const test_options *options)
{
    monarch_error error;
    uint32_t devices;

    if (options->manifest != NULL && access(options->manifest, R_OK) != 0) {
        fprintf(stderr, "no manifest %s\n", options->manifest);
        return 0;
    }
    if (monarch_instance_create(NULL, &targets->instance, &error) != MONARCH_OK) {
        fprintf(stderr, "no instance: %s\n", error.message);
        return 0;
    }
    print_absent_backends(targets->instance);
    devices = monarch_instance_device_count(targets->instance);
    targets->list = test_alloc((size_t)devices * MOST_VARIANTS, sizeof *targets->list);
    for (uint32_t i = 0; i < devices; i++)
        add_device(targets, options, monarch_instance_device(targets->instance, i));
    return 1;
}

void test_targets_close(test_targets *targets)
{
    free(targets->list);
    monarch_instance_destroy(&targets->instance);
    memset(targets, 0, sizeof *targets);
}
