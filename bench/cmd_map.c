/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "compare.h"
#include "map_picture.h"
#include "report.h"

static const char help[] =
    "usage: monarch map --q q.npy --k k.npy --out map.png [options]\n"
    "\n"
    "Draws the attention map of one head, exact softmax attention beside MonarchAttention.\n"
    "\n"
    "  --q FILE           queries, [batch, heads, tokens, head_dim], float32 or float16\n"
    "  --k FILE           keys, [batch, kv_heads, tokens, head_dim]; kv_heads divides heads\n"
    "  --mask FILE        [batch, tokens], bool or uint8; keys where it is 0 are left out\n"
    "  --batch E          which entry of the batch (default 0)\n"
    "  --head H           which head of q (default 0)\n"
    "  --out FILE         picture, PNG; an old file is replaced only when the new one is "
    "complete\n" PROBLEM_HELP "\n"
    "The map needs memory for tokens * tokens weights and takes at most 4096 tokens.\n";

enum { OPTION_Q = OPTION_OWN, OPTION_K, OPTION_MASK, OPTION_BATCH, OPTION_HEAD, OPTION_OUT };

enum { MAX_TOKENS = 4096 };

struct map_options {
    struct problem_options problem;
    struct input_paths inputs;
    const char *out;
    int64_t batch, head;
};

/* Everything that one map holds. */
struct map {
    struct map_options options;
    struct inputs inputs;
    struct session session;
    monarch_plan *plan;
    monarch_problem problem; /* resolved: one head, values the identity */
    struct tensors tensors;
    struct outfile out;
    float *q, *k;           /* [tokens, head_dim] */
    double *weights;        /* [tokens] */
    float *exact, *monarch; /* [tokens, tokens] */
    struct distance distance;
};

static int take_option(int code, struct map_options *options)
{
    switch (code) {
    case OPTION_Q:
        options->inputs.q = optarg;
        return TOOL_OK;
    case OPTION_K:
        options->inputs.k = optarg;
        return TOOL_OK;
    case OPTION_MASK:
        options->inputs.mask = optarg;
        return TOOL_OK;
    case OPTION_BATCH:
        return parse_integer("--batch", optarg, 0, INT32_MAX, &options->batch);
    case OPTION_HEAD:
        return parse_integer("--head", optarg, 0, INT32_MAX, &options->head);
    case OPTION_OUT:
        options->out = optarg;
        return TOOL_OK;
    default:
        return problem_option(code, optarg, &options->problem);
    }
}

static int check_options(const struct map_options *options)
{
    if (!options->inputs.q || !options->inputs.k) {
        return fail(TOOL_USAGE, "%s is missing; it takes the name of a .npy file",
                    options->inputs.q ? "--k" : "--q");
    }
    return options->out ? TOOL_OK
                        : fail(TOOL_USAGE, "--out is missing; it takes the name of a .png file");
}

static int check_inputs(const struct map *map)
{
    const struct map_options *options = &map->options;
    const struct problem_shape *shape = &map->inputs.shape;
    if (shape->tokens < 1 || shape->tokens > MAX_TOKENS) {
        return fail(TOOL_USAGE, "%s: has %" PRId64 " tokens; a map takes 1 to %d",
                    options->inputs.q, shape->tokens, MAX_TOKENS);
    }
    if (options->batch >= shape->batch) {
        return fail(TOOL_USAGE,
                    "--batch: '%" PRId64 "' is not accepted; %s has %" PRId64
                    " entries, counted from 0",
                    options->batch, options->inputs.q, shape->batch);
    }
    if (options->head >= shape->heads) {
        return fail(TOOL_USAGE,
                    "--head: '%" PRId64 "' is not accepted; %s has %" PRId64
                    " heads, counted from 0",
                    options->head, options->inputs.q, shape->heads);
    }
    return TOOL_OK;
}

static int allocate(struct map *map)
{
    size_t tokens = (size_t)map->inputs.shape.tokens;
    size_t dim = (size_t)map->inputs.shape.head_dim;
    map->q = malloc(tokens * dim * sizeof *map->q);
    map->k = malloc(tokens * dim * sizeof *map->k);
    map->weights = malloc(tokens * sizeof *map->weights);
    map->exact = malloc(tokens * tokens * sizeof *map->exact);
    map->monarch = malloc(tokens * tokens * sizeof *map->monarch);
    if (!map->q || !map->k || !map->weights || !map->exact || !map->monarch) {
        return fail_memory("the maps", tokens * tokens * sizeof *map->exact * 2);
    }
    return TOOL_OK;
}

static int read_head(struct map *map)
{
    const struct problem_shape *shape = &map->inputs.shape;
    int64_t count = shape->tokens * shape->head_dim;
    int64_t kv_head = map->options.head / (shape->heads / map->inputs.kv_heads);
    int64_t q_index = map->options.batch * shape->heads + map->options.head;
    int64_t k_index = map->options.batch * map->inputs.kv_heads + kv_head;
    int status = npy_read_f32(&map->inputs.q, q_index * count, count, map->q);
    return status ? status : npy_read_f32(&map->inputs.k, k_index * count, count, map->k);
}

static const uint8_t *mask_row(const struct map *map)
{
    return map->inputs.mask ? map->inputs.mask + map->options.batch * map->inputs.shape.tokens
                            : NULL;
}

/* Values whose rows are those of the identity make the output the attention matrix itself. */
static int write_identity(struct map *map)
{
    int64_t overflows = 0;
    int64_t tokens = map->problem.tokens;
    int status = TOOL_OK;
    float *row = malloc((size_t)tokens * sizeof *row);
    if (!row) {
        return fail_memory("a row", (uint64_t)tokens * sizeof *row);
    }
    for (int64_t n = 0; n < tokens && !status; n++) {
        memset(row, 0, (size_t)tokens * sizeof *row);
        row[n] = 1.0f;
        status = buffer_write_f32(&map->session, map->tensors.v, map->problem.v.dtype, n * tokens,
                                  tokens, row, &overflows);
    }
    free(row);
    return status;
}

/* Leaves q and k in the dtype of the problem, so the exact map is to be made from a fresh copy. */
static int write_inputs(struct map *map)
{
    const monarch_problem *problem = &map->problem;
    int64_t count = problem->tokens * problem->head_dim;
    int64_t overflows = 0;
    int status = buffer_write_f32(&map->session, map->tensors.q, problem->q.dtype, 0, count, map->q,
                                  &overflows);
    if (!status) {
        status = buffer_write_f32(&map->session, map->tensors.k, problem->k.dtype, 0, count, map->k,
                                  &overflows);
    }
    if (!status && overflows) {
        warn("%" PRId64 " queries and keys are too large for %s and became infinite; --dtype f32 "
             "keeps them",
             overflows, monarch_dtype_name(problem->q.dtype));
    }
    if (!status && map->inputs.mask) {
        monarch_error error = {0};
        monarch_status result =
            monarch_buffer_write(map->session.queue, map->tensors.mask, 0, mask_row(map),
                                 (uint64_t)problem->tokens, &error);
        status = result ? fail_library(result, &error) : TOOL_OK;
    }
    return status ? status : write_identity(map);
}

static int monarch_map(struct map *map)
{
    monarch_error error = {0};
    int status = read_head(map);
    if (!status) {
        status = write_inputs(map);
    }
    if (status) {
        return status;
    }
    monarch_plan_args args = tensors_args(&map->tensors);
    monarch_status result = monarch_plan_execute(map->plan, map->session.queue, &args, &error);
    if (!result) {
        result = monarch_queue_wait(map->session.queue, &error);
    }
    return result ? fail_library(result, &error)
                  : buffer_read_f32(&map->session, map->tensors.out, map->problem.out.dtype, 0,
                                    map->problem.tokens * map->problem.tokens, map->monarch);
}

static int exact_map(struct map *map)
{
    int64_t tokens = map->problem.tokens;
    int64_t dim = map->problem.head_dim;
    const uint8_t *mask = mask_row(map);
    int status = read_head(map);
    for (int64_t n = 0; n < tokens && !status; n++) {
        float *row = map->exact + n * tokens;
        exact_weights(map->q + n * dim, map->k, mask, tokens, dim, (double)map->problem.scale,
                      map->weights);
        for (int64_t i = 0; i < tokens; i++) {
            row[i] = (float)map->weights[i];
        }
        if (!mask || mask[n]) {
            distance_add(&map->distance, map->monarch + n * tokens, map->weights, tokens,
                         map->options.batch, map->options.head, n);
        }
    }
    return status;
}

static int write_picture(struct map *map)
{
    char title[512];
    char monarch_title[128];
    struct canvas canvas = {0};
    snprintf(title, sizeof title,
             "%s: batch %" PRId64 ", head %" PRId64 ", %" PRId64
             " tokens, relative distance of the maps %.3g",
             map->options.inputs.q, map->options.batch, map->options.head, map->problem.tokens,
             distance_relative(&map->distance));
    snprintf(monarch_title, sizeof monarch_title, "Monarch, B = %" PRId64 ", T = %" PRId32,
             map->problem.block_size, map->problem.steps);
    struct map_picture picture = {
        map->exact,   map->monarch, map->problem.tokens, title, "exact softmax attention",
        monarch_title};
    int status = map_picture_draw(&picture, &canvas);
    if (!status) {
        status = canvas_write_png(&canvas, &map->out);
    }
    if (!status) {
        status = outfile_commit(&map->out);
    }
    if (!status) {
        puts(title);
        printf("%s written: %d x %d pixels, %s beside %s\n", map->options.out, canvas.width,
               canvas.height, picture.exact_title, monarch_title);
    }
    canvas_destroy(&canvas);
    return status;
}

static int prepare(struct map *map)
{
    struct map_options *options = &map->options;
    monarch_error error = {0};
    map->problem = monarch_problem_default();
    int status = inputs_open(&map->inputs, &options->inputs);
    if (!status) {
        status = check_inputs(map);
    }
    if (!status) {
        status = session_open(&map->session, &options->problem);
    }
    if (!status) {
        const struct problem_shape *all = &map->inputs.shape;
        struct problem_shape one = {1, 1, all->tokens, all->head_dim, all->tokens};
        monarch_problem problem = make_problem(&options->problem, &one);
        problem.has_mask = map->inputs.mask != NULL;
        status = session_plan(&map->session, &problem, &options->problem, &map->plan);
    }
    if (!status && monarch_plan_problem(map->plan, &map->problem, &error)) {
        status = fail_library(error.status, &error);
    }
    if (!status) {
        status = outfile_open(&map->out, options->out);
    }
    if (!status) {
        status = tensors_create(&map->tensors, &map->session, map->plan, &map->problem);
    }
    return status ? status : allocate(map);
}

static void release(struct map *map)
{
    outfile_discard(&map->out);
    tensors_destroy(&map->tensors);
    monarch_plan_destroy(&map->plan);
    session_close(&map->session);
    inputs_close(&map->inputs);
    free(map->q);
    free(map->k);
    free(map->weights);
    free(map->exact);
    free(map->monarch);
}

int command_map(int argc, char **argv)
{
    static const struct option table[] = {
        {"q", required_argument, NULL, OPTION_Q},
        {"k", required_argument, NULL, OPTION_K},
        {"mask", required_argument, NULL, OPTION_MASK},
        {"batch", required_argument, NULL, OPTION_BATCH},
        {"head", required_argument, NULL, OPTION_HEAD},
        {"out", required_argument, NULL, OPTION_OUT},
        {NULL, 0, NULL, 0},
    };
    struct map map = {.options.problem = problem_options_default()};
    int code;
    while ((code = next_option(argc, argv, table)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return TOOL_OK;
        }
        if (code == '?' || take_option(code, &map.options)) {
            return TOOL_USAGE;
        }
    }
    int status = check_options(&map.options);
    if (!status) {
        status = prepare(&map);
    }
    if (!status) {
        status = monarch_map(&map);
    }
    if (!status) {
        status = exact_map(&map);
    }
    if (!status) {
        status = write_picture(&map);
    }
    release(&map);
    return status;
}
