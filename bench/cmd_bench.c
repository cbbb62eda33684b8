/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "bandwidth.h"
#include "build_commit.h"
#include "command.h"
#include "measure.h"
#include "random.h"
#include "report.h"

static const char help[] =
    "usage: monarch bench (--shape E,H,N,D[,Dv] | --list FILE) [options]\n"
    "\n"
    "Times problems on normally distributed random input and checks the results.\n"
    "\n"
    "  --shape SHAPE      batch, heads, tokens, head_dim and, if it differs, value_dim\n"
    "  --list FILE        problems, one a line: shape=1,12,4096,64 block=64 steps=1 dtype=f32\n"
    "                     with the keys shape, block, steps, pad, scale, dtype,\n"
    "                     intermediates, kv_heads; the options give what a line leaves\n"
    "                     out; # starts a comment\n"
    "  --kv-heads H       heads of keys and values, a divisor of heads (default: heads)\n"
    "  --csv              print comma-separated values\n"
    "  --seconds S        device time to spend on each problem (default 1)\n"
    "  --seed S           seed of the random input (default: a new one, which is "
    "printed)\n" PROBLEM_HELP "\n"
    "After timing, one head, picked by the seed, is compared with a reference in f64. A relative\n"
    "error above 2e-6 (f32), 2e-3 (f16) or 1.6e-2 (bf16) makes the exit status 1.\n";

enum { OPTION_SHAPE = OPTION_OWN, OPTION_LIST, OPTION_CSV, OPTION_SECONDS, OPTION_SEED };

struct bench_options {
    struct bench_problem single;
    int has_shape;
    const char *list;
    int csv;
    struct measure_options measure;
};

/* What is the same for all problems of a run. */
struct bench {
    struct session session;
    struct bench_options options;
    double bandwidth; /* 0: not measured */
};

static int take_option(int code, struct bench_options *options)
{
    switch (code) {
    case OPTION_SHAPE:
        options->has_shape = 1;
        return parse_shape("--shape", optarg, &options->single.shape);
    case OPTION_LIST:
        options->list = optarg;
        return TOOL_OK;
    case OPTION_CSV:
        options->csv = 1;
        return TOOL_OK;
    case OPTION_SECONDS:
        return parse_number("--seconds", optarg, 0.0, 86400.0, &options->measure.seconds);
    case OPTION_SEED:
        return parse_seed("--seed", optarg, &options->measure.seed);
    default:
        return problem_option(code, optarg, &options->single.options);
    }
}

static int collect(const struct bench_options *options, struct problem_list *list)
{
    if (options->has_shape == (options->list != NULL)) {
        return fail(TOOL_USAGE, "%s; give one of them",
                    options->list ? "--shape and --list exclude each other"
                                  : "--shape and --list are both missing");
    }
    return options->list ? problem_list_read(list, options->list, &options->single.options)
                         : problem_list_add(list, &options->single);
}

static const char csv_header[] =
    "date,commit,device,driver,backend,variant,threads,dtype,batch,heads,tokens,head_dim,"
    "value_dim,block,steps,us_median,us_min,us_p10,us_p90,gflops,gbs,floor_us,host_us,rel_error,"
    "seed,intermediates";

static void print_header(const struct bench *bench, const char *how)
{
    char label[64];
    const monarch_device_info *info = &bench->session.info;
    if (bench->options.csv) {
        puts(csv_header);
        return;
    }
    printf("device  %s  %s, driver %s", device_label(label, sizeof label, info), info->name,
           info->driver[0] ? info->driver : "none");
    if (bench->session.threads) {
        printf(", %" PRId32 " threads", bench->session.threads);
    }
    printf("\ncommit  %s\nseed    %" PRIu64 "\n", BUILD_COMMIT, bench->options.measure.seed);
    if (bench->bandwidth > 0.0) {
        printf("floor   q, k, v read and out written once at %.4g GB/s (%s)\n",
               bench->bandwidth * 1e-9, how);
    } else {
        printf("floor   not measured: %s\n", how);
    }
    printf("\n%-24s %6s %2s %-8s %-12s %11s %11s %11s %11s %9s %8s %11s %7s %8s %9s\n",
           "shape E,H,N,D,Dv", "block", "T", "type", "variant", "median us", "least", "10 %",
           "90 %", "GFLOP/s", "GB/s", "floor us", "x floor", "host us", "rel error");
}

/* Text in CSV is quoted, as names of devices may hold commas. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') {
            putchar('"');
        }
        putchar(*text);
    }
    fputs("\",", stdout);
}

static void print_csv(const struct bench *bench, const struct measurement *m)
{
    const monarch_device_info *info = &bench->session.info;
    const monarch_problem *p = &m->problem;
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    printf("%s,%s,", date, BUILD_COMMIT);
    print_quoted(info->name);
    print_quoted(info->driver);
    printf("%s,%s,", info->backend, m->variant);
    if (bench->session.threads) {
        printf("%" PRId32, bench->session.threads);
    }
    printf(",%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId32,
           monarch_dtype_name(p->q.dtype), p->batch, p->heads, p->tokens, p->head_dim, p->value_dim,
           p->block_size, p->steps);
    printf(",%.3f,%.3f,%.3f,%.3f,%.4g,%.4g,", m->stats.median * 1e6, m->stats.minimum * 1e6,
           m->stats.p10 * 1e6, m->stats.p90 * 1e6, m->cost.flops / m->stats.median * 1e-9,
           m->cost.bytes / m->stats.median * 1e-9);
    if (bench->bandwidth > 0.0) {
        printf("%.3f", m->cost.floor_bytes / bench->bandwidth * 1e6);
    }
    putchar(',');
    if (!isnan(m->host)) {
        printf("%.3f", m->host * 1e6);
    }
    printf(",%.3e,%" PRIu64 ",%s\n", m->error, bench->options.measure.seed,
           intermediates_name(p->intermediates));
}

static void print_row(const struct bench *bench, const struct measurement *m)
{
    const monarch_problem *p = &m->problem;
    char shape[128], type[16];
    snprintf(type, sizeof type, "%s%s", monarch_dtype_name(p->q.dtype),
             p->intermediates == MONARCH_INTERMEDIATES_FP8 ? "/fp8" : "");
    snprintf(shape, sizeof shape, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64,
             p->batch, p->heads, p->tokens, p->head_dim, p->value_dim);
    printf("%-24s %6" PRId64 " %2" PRId32 " %-8s %-12s %11.2f %11.2f %11.2f %11.2f %9.4g %8.4g",
           shape, p->block_size, p->steps, type, m->variant, m->stats.median * 1e6,
           m->stats.minimum * 1e6, m->stats.p10 * 1e6, m->stats.p90 * 1e6,
           m->cost.flops / m->stats.median * 1e-9, m->cost.bytes / m->stats.median * 1e-9);
    if (bench->bandwidth > 0.0) {
        double floor = m->cost.floor_bytes / bench->bandwidth;
        printf(" %11.2f %7.2f", floor * 1e6, m->stats.median / floor);
    } else {
        printf(" %11s %7s", "-", "-");
    }
    if (isnan(m->host)) {
        printf(" %8s", "-");
    } else {
        printf(" %8.2f", m->host * 1e6);
    }
    printf(" %9.2e\n", m->error);
}

static int bench_one(struct bench *bench, const struct problem_list *list, size_t index)
{
    const struct bench_problem *problem = &list->problems[index];
    const struct problem_shape *shape = &problem->shape;
    struct measurement measurement;
    char label[160];
    snprintf(label, sizeof label, "%zu of %zu, shape %" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64,
             index + 1, list->count, shape->batch, shape->heads, shape->tokens, shape->head_dim);
    report_place(list->count > 1 ? label : NULL);
    int status = measure(&bench->session, problem, &bench->options.measure, label, &measurement);
    if (!status) {
        (bench->options.csv ? print_csv : print_row)(bench, &measurement);
        fflush(stdout);
        double limit = measure_limit(&measurement.problem);
        if (!(measurement.error <= limit)) {
            status = fail(TOOL_DEVICE,
                          "batch %" PRId64 ", head %" PRId64 " has relative error %.3g, "
                          "more than the %.3g accepted of %s",
                          measurement.batch, measurement.head, measurement.error, limit,
                          monarch_dtype_name(measurement.problem.q.dtype));
        }
    }
    report_place(NULL);
    return status;
}

static int bench_all(struct bench *bench, const struct problem_list *list)
{
    char how[128];
    int status = session_open(&bench->session, &bench->options.single.options);
    if (status) {
        return status;
    }
    progress("measuring the memory");
    bench->bandwidth = bandwidth_measure(&bench->session, how, sizeof how);
    progress_clear();
    print_header(bench, how);
    /* One problem that fails does not take the others with it. */
    for (size_t i = 0; i < list->count; i++) {
        int result = bench_one(bench, list, i);
        status = status ? status : result;
    }
    session_close(&bench->session);
    return status;
}

int command_bench(int argc, char **argv)
{
    static const struct option table[] = {
        {"shape", required_argument, NULL, OPTION_SHAPE},
        {"list", required_argument, NULL, OPTION_LIST},
        {"kv-heads", required_argument, NULL, OPTION_KV_HEADS},
        {"csv", no_argument, NULL, OPTION_CSV},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"seed", required_argument, NULL, OPTION_SEED},
        {NULL, 0, NULL, 0},
    };
    struct bench bench = {.options.single.options = problem_options_default()};
    bench.options.measure = (struct measure_options){1.0, random_seed()};
    int code;
    while ((code = next_option(argc, argv, table)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return TOOL_OK;
        }
        if (code == '?' || take_option(code, &bench.options)) {
            return TOOL_USAGE;
        }
    }
    struct problem_list list = {0};
    int status = collect(&bench.options, &list);
    if (!status) {
        status = bench_all(&bench, &list);
    }
    problem_list_free(&list);
    return status;
}
