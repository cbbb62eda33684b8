/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "compare.h"
#include "report.h"
#include "stages.h"
#include "stats.h"

static const char help[] =
    "usage: monarch run --q q.npy --k k.npy --v v.npy --out out.npy [options]\n"
    "\n"
    "Computes MonarchAttention of the tensors in .npy files.\n"
    "\n"
    "  --q FILE           queries, [batch, heads, tokens, head_dim], float32 or float16\n"
    "  --k FILE           keys, [batch, kv_heads, tokens, head_dim]; kv_heads divides heads\n"
    "  --v FILE           values, [batch, kv_heads, tokens, value_dim]\n"
    "  --mask FILE        [batch, tokens], bool or uint8; keys where it is 0 are left out\n"
    "  --out FILE         result, [batch, heads, tokens, value_dim], float32; an old file is\n"
    "                     replaced only when the new one is complete\n"
    "  --compare exact    print the distance from exact softmax attention\n"
    "  --stages DIR       write what every stage hands to the next to DIR as .npy\n" PROBLEM_HELP;

enum {
    OPTION_Q = OPTION_OWN,
    OPTION_K,
    OPTION_V,
    OPTION_MASK,
    OPTION_OUT,
    OPTION_COMPARE,
    OPTION_STAGES
};

/* Elements of the result that are converted at a time. */
enum { CHUNK = 1 << 18 };

/* The result is timed once more only while that stays below these. */
static const double single_run_seconds = 1.0;
static const double timing_seconds = 0.5;
enum { MAX_RUNS = 21 };

struct run_options {
    struct problem_options problem;
    struct input_paths inputs;
    const char *out;
    const char *stages; /* NULL: not wanted */
    int compare;
};

/* Everything that one run holds. */
struct run {
    struct run_options options;
    struct inputs inputs;
    struct session session;
    monarch_plan *plan;
    monarch_problem problem; /* resolved */
    struct tensors tensors;
    struct outfile out;
    int64_t not_finite;
};

static int take_option(int code, struct run_options *options)
{
    switch (code) {
    case OPTION_Q:
        options->inputs.q = optarg;
        return TOOL_OK;
    case OPTION_K:
        options->inputs.k = optarg;
        return TOOL_OK;
    case OPTION_V:
        options->inputs.v = optarg;
        return TOOL_OK;
    case OPTION_MASK:
        options->inputs.mask = optarg;
        return TOOL_OK;
    case OPTION_OUT:
        options->out = optarg;
        return TOOL_OK;
    case OPTION_STAGES:
        options->stages = optarg;
        return TOOL_OK;
    case OPTION_COMPARE:
        options->compare = 1;
        return strcmp(optarg, "exact") == 0
                   ? TOOL_OK
                   : fail(TOOL_USAGE, "--compare: '%s' is not accepted; give exact", optarg);
    default:
        return problem_option(code, optarg, &options->problem);
    }
}

static int check_options(const struct run_options *options)
{
    const struct {
        const char *name, *value;
    } needed[] = {{"--q", options->inputs.q},
                  {"--k", options->inputs.k},
                  {"--v", options->inputs.v},
                  {"--out", options->out}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!needed[i].value) {
            return fail(TOOL_USAGE, "%s is missing; it takes the name of a .npy file",
                        needed[i].name);
        }
    }
    return TOOL_OK;
}

static void print_input(const char *name, const struct npy *array)
{
    char text[256];
    printf("%-9s%s  %s %s\n", name, array->path,
           shape_text(text, sizeof text, array->header.shape, array->header.rank),
           npy_type_name(array->header.type));
}

static void print_inputs(const struct run *run)
{
    const struct inputs *inputs = &run->inputs;
    print_input("q", &inputs->q);
    print_input("k", &inputs->k);
    print_input("v", &inputs->v);
    if (inputs->mask) {
        printf("%-9s%s  [%" PRId64 ", %" PRId64 "] %s, %" PRId64 " of %" PRId64 " tokens masked\n",
               "mask", run->options.inputs.mask, inputs->shape.batch, inputs->shape.tokens,
               npy_type_name(inputs->mask_type), inputs->masked,
               inputs->shape.batch * inputs->shape.tokens);
    }
    char label[64];
    printf("%-9s%s  %s\n", "device", device_label(label, sizeof label, &run->session.info),
           run->session.info.name);
}

/* The plan's own text, set off from the tool's lines. */
static int print_plan(const monarch_plan *plan)
{
    size_t size = monarch_plan_describe(plan, NULL, 0) + 1;
    char *text = malloc(size);
    if (!text) {
        return fail_memory("the plan's description", size);
    }
    monarch_plan_describe(plan, text, size);
    puts("plan");
    char *state = NULL;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        printf("  %s\n", line);
    }
    free(text);
    return TOOL_OK;
}

static int upload(struct run *run)
{
    const struct inputs *inputs = &run->inputs;
    monarch_dtype dtype = run->options.problem.dtype;
    int status = inputs_upload(&run->session, &inputs->q, run->tensors.q, dtype);
    if (!status) {
        status = inputs_upload(&run->session, &inputs->k, run->tensors.k, dtype);
    }
    if (!status) {
        status = inputs_upload(&run->session, &inputs->v, run->tensors.v, dtype);
    }
    if (!status && inputs->mask) {
        monarch_error error = {0};
        monarch_status result =
            monarch_buffer_write(run->session.queue, run->tensors.mask, 0, inputs->mask,
                                 monarch_buffer_size(run->tensors.mask), &error);
        status = result ? fail_library(result, &error) : TOOL_OK;
    }
    return status;
}

/* Executes; a short run once more, warm and several times. */
static int execute(struct run *run)
{
    double seconds[MAX_RUNS] = {0.0};
    monarch_error error = {0};
    monarch_plan_args args = tensors_args(&run->tensors);
    monarch_status status =
        monarch_plan_time(run->plan, run->session.queue, &args, 1, seconds, &error);
    uint32_t count = 1;
    if (!status && seconds[0] < single_run_seconds) {
        double wanted = timing_seconds / (seconds[0] + 1e-9);
        count = wanted > MAX_RUNS ? MAX_RUNS : wanted < 3.0 ? 3 : (uint32_t)wanted;
        status = monarch_plan_time(run->plan, run->session.queue, &args, count, seconds, &error);
    }
    if (status) {
        return fail_library(status, &error);
    }
    struct stats stats = stats_of(seconds, count);
    if (count == 1) {
        printf("%-9s%.4g ms, one run\n", "time", stats.median * 1e3);
    } else {
        printf("%-9s%.4g ms, median of %u runs (least %.4g, 10th to 90th percentile %.4g to "
               "%.4g)\n",
               "time", stats.median * 1e3, count, stats.minimum * 1e3, stats.p10 * 1e3,
               stats.p90 * 1e3);
    }
    return TOOL_OK;
}

static void print_work(const monarch_plan *plan)
{
    monarch_plan_cost_info cost = {.struct_size = (uint32_t)sizeof cost};
    if (monarch_plan_cost(plan, &cost, NULL) || cost.flops <= 0.0) {
        return;
    }
    double ratio = cost.exact_flops / cost.flops;
    printf("%-9s%.4g GFLOP instead of the %.4g of exact attention: %.3g times %s\n", "work",
           cost.flops * 1e-9, cost.exact_flops * 1e-9, ratio >= 1.0 ? ratio : 1.0 / ratio,
           ratio >= 1.0 ? "less" : "more");
}

static int write_elements(struct run *run, float *values)
{
    int64_t total = elements_out(&run->problem);
    int status = TOOL_OK;
    for (int64_t at = 0; at < total && !status; at += CHUNK) {
        int64_t part = total - at < CHUNK ? total - at : CHUNK;
        status = buffer_read_f32(&run->session, run->tensors.out, run->problem.out.dtype, at, part,
                                 values);
        for (int64_t i = 0; !status && i < part; i++) {
            run->not_finite += !isfinite(values[i]);
        }
        if (!status) {
            status = outfile_write(&run->out, values, (size_t)part * sizeof *values);
        }
    }
    return status;
}

static int write_result(struct run *run)
{
    const int64_t shape[4] = {run->problem.batch, run->problem.heads, run->problem.tokens,
                              run->problem.value_dim};
    float *values = malloc(CHUNK * sizeof *values);
    if (!values) {
        return fail_memory("a copy", CHUNK * sizeof *values);
    }
    int status = npy_write_header(&run->out, shape, 4);
    if (!status) {
        status = write_elements(run, values);
    }
    free(values);
    if (!status) {
        status = outfile_commit(&run->out);
    }
    if (!status) {
        char text[256];
        printf("%-9s%s  %s float32\n", "out", run->options.out,
               shape_text(text, sizeof text, shape, 4));
    }
    if (!status && run->not_finite) {
        warn("%s: %" PRId64 " values of the result are not finite", run->options.out,
             run->not_finite);
    }
    return status;
}

static int print_comparison(struct run *run)
{
    struct distance distance;
    int64_t rows_per_head = 0;
    int status = compare_exact(&run->session, &run->problem, &run->inputs, run->tensors.out,
                               &distance, &rows_per_head);
    if (status) {
        return status;
    }
    int64_t rows = run->problem.batch * run->problem.heads * run->problem.tokens;
    const char *kind = run->inputs.mask ? ", those of masked tokens left out" : "";
    printf("%-9swith exact softmax attention in f64: ", "compare");
    if (rows_per_head == run->problem.tokens) {
        printf("all %" PRId64 " rows%s\n", distance.rows, kind);
    } else {
        printf("%" PRId64 " of %" PRId64 " rows, a sample of %" PRId64
               " evenly spaced in each head%s\n",
               distance.rows, rows, rows_per_head, kind);
    }
    if (distance.rows == 0) {
        puts("  nothing to compare");
        return TOOL_OK;
    }
    printf("  relative error  %.6g (Frobenius norm)\n", distance_relative(&distance));
    printf("  cosine          mean %.6f, least %.6f\n", distance.cosine_sum / (double)distance.rows,
           distance.cosine_least);
    printf("  worst row       batch %" PRId64 ", head %" PRId64 ", token %" PRId64
           ": relative error %.6g\n",
           distance.worst_batch, distance.worst_head, distance.worst_token, distance.worst);
    return TOOL_OK;
}

/* Everything that can be wrong with the call is found before the long work starts. */
static int prepare(struct run *run)
{
    struct run_options *options = &run->options;
    monarch_error error = {0};
    run->problem = monarch_problem_default();
    int status = inputs_open(&run->inputs, &options->inputs);
    if (!status) {
        options->problem.kv_heads = run->inputs.kv_heads;
        status = session_open(&run->session, &options->problem);
    }
    if (!status) {
        monarch_problem problem = make_problem(&options->problem, &run->inputs.shape);
        problem.has_mask = run->inputs.mask != NULL;
        status = session_plan(&run->session, &problem, &options->problem, &run->plan);
    }
    if (!status && monarch_plan_problem(run->plan, &run->problem, &error)) {
        status = fail_library(error.status, &error);
    }
    if (!status && options->stages) {
        status = stages_prepare(options->stages);
    }
    if (!status) {
        status = outfile_open(&run->out, options->out);
    }
    if (!status) {
        status = tensors_create(&run->tensors, &run->session, run->plan, &run->problem);
    }
    return status;
}

static int compute(struct run *run)
{
    print_inputs(run);
    int status = print_plan(run->plan);
    if (!status) {
        status = upload(run);
    }
    if (!status) {
        status = execute(run);
    }
    if (!status) {
        print_work(run->plan);
        status = write_result(run);
    }
    if (!status && run->options.compare) {
        status = print_comparison(run);
    }
    if (!status && run->options.stages) {
        status = stages_write(&run->session, run->plan, &run->problem, &run->options.problem,
                              &run->tensors, run->options.stages);
        if (!status) {
            printf("%-9s%" PRIu32 " stages in %s\n", "stages", monarch_plan_stage_count(run->plan),
                   run->options.stages);
        }
    }
    return status;
}

int command_run(int argc, char **argv)
{
    static const struct option table[] = {
        {"q", required_argument, NULL, OPTION_Q},
        {"k", required_argument, NULL, OPTION_K},
        {"v", required_argument, NULL, OPTION_V},
        {"mask", required_argument, NULL, OPTION_MASK},
        {"out", required_argument, NULL, OPTION_OUT},
        {"compare", required_argument, NULL, OPTION_COMPARE},
        {"stages", required_argument, NULL, OPTION_STAGES},
        {NULL, 0, NULL, 0},
    };
    struct run run = {.options.problem = problem_options_default()};
    int code;
    while ((code = next_option(argc, argv, table)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return TOOL_OK;
        }
        if (code == '?' || take_option(code, &run.options)) {
            return TOOL_USAGE;
        }
    }
    int status = check_options(&run.options);
    if (!status) {
        status = prepare(&run);
    }
    if (!status) {
        status = compute(&run);
    }
    outfile_discard(&run.out);
    tensors_destroy(&run.tensors);
    monarch_plan_destroy(&run.plan);
    session_close(&run.session);
    inputs_close(&run.inputs);
    return status;
}
