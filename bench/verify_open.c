/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "report.h"
#include "verify_run.h"

/* Which devices, variants and cases a run of `monarch verify` is made of. */

/* Every relation of tokens, block and features, each kind of mask, contents and layout once. */
static const char *const short_cases[] = {
    "one_token",
    "block_1_steps_3",
    "block_n",
    "even",
    "odd_n_begin",
    "odd_n_steps_2",
    "value_dim_above",
    "dim_17",
    "dim_33_value_31",
    "dim_128_value_64",
    "block_20_blocks_25",
    "vit_steps_3",
    "roberta",
    "heads_many",
    "large_logits_steps_2",
    "huge_logits_steps_2",
    "big_q",
    "big_v",
    "mask_random_nan_q",
    "mask_blocks_nan",
    "mask_position",
    "mask_sequence_nan",
    "mixed_mask",
    "qkv_grouped",
    "broadcast_token",
    "grid_short_begin",
    "gaps_begin",
    "negative_begin",
    "feature_stride",
    "scale_negative",
    NULL,
};

const char *verify_short_case(size_t index)
{
    return index < sizeof short_cases / sizeof *short_cases ? short_cases[index] : NULL;
}

/* Whether a list by commas, or NULL for all, has a word. */
static bool admits(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (list) {
        size_t part = strcspn(list, ",");
        if (part == length && strncmp(list, word, length) == 0) {
            return true;
        }
        if (!list[part]) {
            return false;
        }
        list += part + 1;
    }
    return true;
}

static int add_target(struct verify_job *job, monarch_device *device,
                      const monarch_device_info *info, const char *variant, size_t length)
{
    struct verify_target *larger =
        realloc(job->targets, (job->target_count + 1) * sizeof *job->targets);
    if (!larger) {
        return fail_memory("the list of devices", 0);
    }
    job->targets = larger;
    struct verify_target *t = &job->targets[job->target_count++];
    memset(t, 0, sizeof *t);
    t->on.device = device;
    snprintf(t->device, sizeof t->device, "%s:%" PRIu32, info->backend, info->index);
    snprintf(t->variant, sizeof t->variant, "%.*s", (int)length, variant);
    snprintf(t->name, sizeof t->name, "%s%s%s", t->device, length ? "/" : "", t->variant);
    return TOOL_OK;
}

static int add_variants(struct verify_job *job, monarch_device *device,
                        const monarch_device_info *info)
{
    const char *wanted = job->options.variant;
    const char *name = info->variants;
    int status = TOOL_OK;
    if (!wanted) {
        return add_target(job, device, info, "", 0);
    }
    while (*name && !status) {
        size_t length = strcspn(name, " ");
        char word[40];
        snprintf(word, sizeof word, "%.*s", (int)length, name);
        if (strcmp(wanted, "all") == 0 || admits(wanted, word)) {
            status = add_target(job, device, info, name, length);
        }
        name += length + (name[length] == ' ');
    }
    return status;
}

static int find_device(struct verify_job *job, const char *option, const char *name,
                       monarch_device **device, monarch_device_info *info)
{
    monarch_error error = {0};
    monarch_status status = monarch_instance_find(job->instance, name, device, &error);
    if (status) {
        return fail(TOOL_USAGE, "%s %s: %s; 'monarch devices' lists what there is", option, name,
                    error.message);
    }
    info->struct_size = (uint32_t)sizeof *info;
    status = monarch_device_info_get(*device, info, &error);
    return status ? fail_library(status, &error) : TOOL_OK;
}

/* The devices that were named, or all but the one that they are compared with. */
static int open_targets(struct verify_job *job)
{
    const char *list = job->options.devices;
    monarch_device_info info = {0};
    monarch_device *device = NULL;
    int status = TOOL_OK;
    for (uint32_t i = 0; !list && !status && i < monarch_instance_device_count(job->instance);
         i++) {
        device = monarch_instance_device(job->instance, i);
        info.struct_size = (uint32_t)sizeof info;
        monarch_error error = {0};
        if (monarch_device_info_get(device, &info, &error)) {
            return fail_library(error.status, &error);
        }
        if (device != job->against_device.device) {
            status = add_variants(job, device, &info);
        }
    }
    while (list && *list && !status) {
        size_t length = strcspn(list, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)length, list);
        status = find_device(job, "--device", name, &device, &info);
        if (!status) {
            status = add_variants(job, device, &info);
        }
        list += length + (list[length] == ',');
    }
    if (!status && job->target_count == 0) {
        status = fail(TOOL_USAGE, "no device has a variant '%s'; 'monarch devices' lists them",
                      job->options.variant ? job->options.variant : "");
    }
    /* Only now does the array stay where it is. */
    for (size_t t = 0; t < job->target_count && !status; t++) {
        struct verify_target *target = &job->targets[t];
        target->on.variant = target->variant[0] ? target->variant : NULL;
        target->subject = monarch_verify_device_subject(&target->on, target->name);
    }
    return status;
}

static int open_against(struct verify_job *job)
{
    monarch_device_info info = {0};
    if (!job->options.against) {
        return TOOL_OK;
    }
    int status =
        find_device(job, "--against", job->options.against, &job->against_device.device, &info);
    if (!status) {
        job->against = monarch_verify_device_subject(&job->against_device, job->options.against);
    }
    return status;
}

static int add_unit(struct verify_job *job, const char *name, monarch_dtype dtype,
                    const monarch_problem *problem)
{
    if (!admits(job->options.dtypes, monarch_dtype_name(dtype))) {
        return TOOL_OK;
    }
    if (job->unit_count == job->unit_capacity) {
        job->unit_capacity = job->unit_capacity ? 2 * job->unit_capacity : 256;
        struct verify_unit *larger = realloc(job->units, job->unit_capacity * sizeof *job->units);
        if (!larger) {
            return fail_memory("the list of cases", job->unit_capacity * sizeof *job->units);
        }
        job->units = larger;
    }
    struct verify_unit *unit = &job->units[job->unit_count];
    memset(unit, 0, sizeof *unit);
    snprintf(unit->name, sizeof unit->name, "%s", name);
    unit->dtype = dtype;
    unit->problem = problem;
    job->unit_made = ++job->unit_count;
    return TOOL_OK;
}

static int add_case(struct verify_job *job, const char *name)
{
    int status = TOOL_OK;
    for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16 && !status; dtype++) {
        status = add_unit(job, name, (monarch_dtype)dtype, NULL);
    }
    return status;
}

static int add_table(struct verify_job *job, bool all)
{
    int status = TOOL_OK;
    const char *name;
    for (uint32_t i = 0;
         !status && (name = all ? monarch_verify_case_name(i) : verify_short_case(i)) != NULL;
         i++) {
        if (admits(job->options.cases, name)) {
            status = add_case(job, name);
        }
    }
    return status;
}

/* Problems of a file, "problem_1" and so on; each in the dtype of its line. */
static int add_file(struct verify_job *job)
{
    struct problem_options defaults = problem_options_default();
    int status = problem_list_read(&job->problems, job->options.list, &defaults);
    if (status) {
        return status;
    }
    job->descriptors = calloc(job->problems.count, sizeof *job->descriptors);
    if (!job->descriptors) {
        return fail_memory("the problems", 0);
    }
    for (size_t i = 0; i < job->problems.count && !status; i++) {
        const struct bench_problem *p = &job->problems.problems[i];
        char name[32];
        snprintf(name, sizeof name, "problem_%zu", i + 1);
        job->descriptors[i] = make_problem(&p->options, &p->shape);
        if (admits(job->options.cases, name)) {
            status = add_unit(job, name, p->options.dtype, &job->descriptors[i]);
        }
    }
    return status;
}

/* Cases that were named but are in no list: of the table, or random ones. */
static int add_named(struct verify_job *job)
{
    const char *list = job->options.cases;
    int status = TOOL_OK;
    while (list && *list && !status) {
        size_t length = strcspn(list, ",");
        char name[64];
        monarch_verify_params params = monarch_verify_params_default();
        char text[400];
        snprintf(name, sizeof name, "%.*s", (int)length, list);
        bool found = false;
        for (size_t i = 0; i < job->unit_count; i++) {
            found |= strcmp(job->units[i].name, name) == 0;
        }
        params.case_name = name;
        params.seed = job->options.seed;
        if (!found && !monarch_verify_case_describe(&params, text, sizeof text)) {
            return fail(TOOL_USAGE, "--case: there is no case '%s'; --list cases --json lists them",
                        name);
        }
        if (!found) {
            status = add_case(job, name);
        }
        list += length + (list[length] == ',');
    }
    return status;
}

static int open_units(struct verify_job *job)
{
    const char *list = job->options.list;
    bool table = strcmp(list, "short") == 0 || strcmp(list, "cases") == 0;
    bool random_only = strcmp(list, "none") == 0;
    int status = table         ? add_table(job, strcmp(list, "cases") == 0)
                 : random_only ? TOOL_OK
                               : add_file(job);
    if (!status) {
        status = add_named(job);
    }
    /* In a soak as many as no machine gets through in the time. */
    int64_t drawn = job->options.soak > 0.0 && !job->options.random
                        ? (int64_t)(job->options.soak * 100.0) + 100
                        : job->options.random;
    for (int64_t i = 0; i < drawn && !status; i++) {
        char name[32];
        snprintf(name, sizeof name, "random_%" PRId64, i);
        status = add_case(job, name);
    }
    if (!status && job->unit_count == 0) {
        status = fail(TOOL_USAGE, "no case of the list fits --case and --dtype");
    }
    return status;
}

int verify_job_open(struct verify_job *job)
{
    monarch_error error = {0};
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = (int32_t)job->options.threads;
    monarch_status created = monarch_instance_create(&params, &job->instance, &error);
    if (created) {
        return fail_library(created, &error);
    }
    int status = open_against(job);
    if (!status) {
        status = open_targets(job);
    }
    return status ? status : open_units(job);
}

void verify_job_close(struct verify_job *job)
{
    for (size_t i = 0; i < job->unit_made; i++) {
        for (size_t t = 0; t < job->target_count && job->units[i].rows; t++) {
            free(job->units[i].rows[t].failures);
        }
        free(job->units[i].rows);
    }
    free(job->units);
    free(job->targets);
    free(job->descriptors);
    problem_list_free(&job->problems);
    if (job->instance) {
        monarch_instance_destroy(&job->instance);
    }
}
