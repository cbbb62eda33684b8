/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "options.h"
#include "outfile.h"
#include "random.h"
#include "report.h"
#include "verify_html.h"
#include "verify_pool.h"
#include "verify_print.h"

static const char help[] =
    "usage: monarch verify [options]\n"
    "\n"
    "Runs the program on devices with known inputs and compares the outputs of every stage, alone\n"
    "and in the program, the result, and its bits on repetition, with a reference in f64 or with\n"
    "another device, and says in which stage and at which element an error starts.\n"
    "\n"
    "  --device LIST      devices, by commas (default: all of the machine)\n"
    "  --against DEVICE   what they are compared with: oracle, the reference in f64, or a device\n"
    "                     (default oracle)\n"
    "  --list LIST        cases: short, cases (the whole table of the tests), none, or a FILE of\n"
    "                     problems as bench reads it (default short)\n"
    "  --case LIST        only these cases, by commas; others of the table and random_N beside\n"
    "                     those of the list\n"
    "  --random N         N random problems as well\n"
    "  --soak S           random problems for S seconds\n"
    "  --limit S          begin nothing new after S seconds, and say how much was not run\n"
    "  --dtype LIST       f32, f16, bf16, by commas (default: all)\n"
    "  --variant NAME     all, or names by commas (default: each device's choice)\n"
    "  --seed S           the inputs (default: a new seed, printed first)\n"
    "  --report FILE      also write an HTML page with maps of the errors of the worst case\n"
    "  --json             print JSON instead of the table\n"
    "  --jobs N           processes that share the work (default 1)\n"
    "  --threads N        threads of the cpu device (default: all processors)\n"
    "  --help             print this text\n"
    "\n"
    "Exit status: 0 all is right, 1 something is wrong or nothing could be compared, 2 bad "
    "input.\n";

enum {
    OPTION_AGAINST = OPTION_OWN,
    OPTION_LIST,
    OPTION_CASE,
    OPTION_RANDOM,
    OPTION_SOAK,
    OPTION_LIMIT,
    OPTION_SEED,
    OPTION_REPORT,
    OPTION_JSON,
    OPTION_JOBS
};

static const struct option table[] = {
    {"device", required_argument, NULL, OPTION_DEVICE},
    {"against", required_argument, NULL, OPTION_AGAINST},
    {"list", required_argument, NULL, OPTION_LIST},
    {"case", required_argument, NULL, OPTION_CASE},
    {"random", required_argument, NULL, OPTION_RANDOM},
    {"soak", required_argument, NULL, OPTION_SOAK},
    {"dtype", required_argument, NULL, OPTION_DTYPE},
    {"variant", required_argument, NULL, OPTION_VARIANT},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* Every word of a list by commas must be a type. */
static int check_dtypes(const char *list)
{
    while (*list) {
        size_t length = strcspn(list, ",");
        bool known = false;
        for (int d = MONARCH_F32; d <= MONARCH_BF16; d++) {
            const char *name = monarch_dtype_name((monarch_dtype)d);
            known |= strlen(name) == length && strncmp(list, name, length) == 0;
        }
        if (!known) {
            return fail(TOOL_USAGE, "--dtype: '%.*s' is not accepted; give f32, f16 or bf16",
                        (int)length, list);
        }
        list += length + (list[length] == ',');
    }
    return TOOL_OK;
}

static int take_text(int code, struct verify_options *options)
{
    switch (code) {
    case OPTION_DEVICE:
        options->devices = optarg;
        break;
    case OPTION_AGAINST:
        options->against = strcmp(optarg, "oracle") == 0 ? NULL : optarg;
        break;
    case OPTION_LIST:
        options->list = optarg;
        break;
    case OPTION_CASE:
        options->cases = optarg;
        break;
    case OPTION_VARIANT:
        options->variant = optarg;
        break;
    case OPTION_REPORT:
        options->report = optarg;
        break;
    case OPTION_DTYPE:
        options->dtypes = optarg;
        return check_dtypes(optarg);
    default:
        options->json = true;
        break;
    }
    return TOOL_OK;
}

static int take_option(int code, struct verify_options *options)
{
    switch (code) {
    case OPTION_RANDOM:
        return parse_integer("--random", optarg, 0, 1000000, &options->random);
    case OPTION_SOAK:
        return parse_number("--soak", optarg, 0.0, 1e6, &options->soak);
    case OPTION_LIMIT:
        return parse_number("--limit", optarg, 0.0, 1e6, &options->limit);
    case OPTION_SEED:
        return parse_seed("--seed", optarg, &options->seed);
    case OPTION_JOBS:
        return parse_integer("--jobs", optarg, 1, 256, &options->jobs);
    case OPTION_THREADS:
        return parse_integer("--threads", optarg, 1, 4096, &options->threads);
    default:
        return take_text(code, options);
    }
}

/* With JSON nothing is printed before the end. */
static void tell_nothing(struct verify_job *job, const struct verify_unit *unit)
{
    (void)job;
    (void)unit;
}

/* Runs the job, in processes of the pool if there are any, prints what came out, and writes the
 * report to `file` if there is one. */
static int run_job(struct verify_job *job, struct verify_pool *pool, struct outfile *file)
{
    if (job->options.json) {
        job->told = tell_nothing;
    } else {
        verify_print_head(job);
    }
    int status = pool->count > 0 ? verify_pool_run(pool, job) : verify_job_run(job);
    if (status) {
        return status;
    }
    if (job->options.json) {
        verify_print_json(job);
    } else {
        verify_print_end(job);
    }
    if (file->stream) {
        status = verify_html_write(job, file);
    }
    if (file->stream && !status) {
        status = outfile_commit(file);
    }
    return status;
}

static int verdict(const struct verify_job *job)
{
    if (job->failed) {
        return fail(TOOL_DEVICE, "%zu of %zu combinations of case, dtype and variant are wrong",
                    job->failed, job->passed + job->failed);
    }
    return job->passed ? TOOL_OK : fail(TOOL_DEVICE, "nothing could be compared");
}

int command_verify(int argc, char **argv)
{
    struct verify_job job = {.told = verify_print_unit};
    job.options = (struct verify_options){.list = "short", .jobs = 1, .seed = random_seed()};
    int code;
    while ((code = next_own_option(argc, argv, table)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return TOOL_OK;
        }
        if (code == '?' || take_option(code, &job.options)) {
            return TOOL_USAGE;
        }
    }
    struct outfile file = {0};
    struct verify_pool pool = {0};
    if (job.options.jobs > 1) {
        verify_pool_start(&pool, &job); /* before any driver is touched */
    }
    int status = verify_job_open(&job);
    /* Ahead of the work, so that a path that cannot be written is told at once. */
    if (!status && job.options.report) {
        status = outfile_open(&file, job.options.report);
    }
    if (!status) {
        status = run_job(&job, &pool, &file);
    }
    if (!status) {
        status = verdict(&job);
    }
    verify_pool_end(&pool);
    outfile_discard(&file);
    verify_job_close(&job);
    return status;
}
