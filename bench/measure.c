/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "host_cost.h"
#include "random.h"
#include "report.h"

/* Samples: at least so many, fewer when one takes long, and at most so many. */
enum { LEAST_SAMPLES = 5, LEAST_LONG_SAMPLES = 3, MOST_SAMPLES = 20000 };
static const double long_seconds = 5.0;
static const double warm_up_seconds = 0.2;

/* Executions between two updates of the progress line, in seconds. */
static const double batch_seconds = 0.1;

/* What fills q, k and v; part of what a seed stands for. */
enum { STREAM_Q = 1, STREAM_K = 2, STREAM_V = 3 };

struct samples {
    double *seconds;
    size_t count;
    double total;
};

/*
 * Multiples of the unit roundoff of the dtype. f32: the limit of the test suite for scores that
 * are not extreme. f16 and bf16: the output is rounded once, and so are the intermediate weights
 * and sums; four roundings that all go the same way. fp8 intermediates: two more, of at most 2^-4.
 */
double measure_limit(const monarch_problem *problem)
{
    const monarch_dtype dtype = problem->q.dtype;
    if (problem->intermediates == MONARCH_INTERMEDIATES_FP8) {
        return 2 * 0x1p-4;
    }
    return dtype == MONARCH_F32 ? 2e-6 : dtype == MONARCH_F16 ? 4 * 0x1p-11 : 4 * 0x1p-8;
}

static uint32_t batch_size(double estimate, size_t space)
{
    double count = batch_seconds / (estimate + 1e-9);
    count = count < 1.0 ? 1.0 : count;
    return count > (double)space ? (uint32_t)space : (uint32_t)count;
}

static int warm_up(struct session *session, const monarch_plan *plan, const monarch_plan_args *args,
                   double *estimate)
{
    monarch_error error = {0};
    double total = 0.0;
    do {
        monarch_status status = monarch_plan_time(plan, session->queue, args, 1, estimate, &error);
        if (status) {
            return fail_library(status, &error);
        }
        /* An empty measurement must not keep the loop going for ever. */
        total += *estimate + 1e-6;
    } while (total < warm_up_seconds);
    return TOOL_OK;
}

static int enough(const struct samples *samples, double estimate, double wanted)
{
    size_t least = estimate > long_seconds ? LEAST_LONG_SAMPLES : LEAST_SAMPLES;
    return samples->count == MOST_SAMPLES || (samples->count >= least && samples->total >= wanted);
}

static int take_samples(struct session *session, const monarch_plan *plan,
                        const monarch_plan_args *args, double wanted, const char *label,
                        struct samples *samples)
{
    monarch_error error = {0};
    double estimate = 0.0;
    progress("%s: warm-up", label);
    int status = warm_up(session, plan, args, &estimate);
    while (!status && !enough(samples, estimate, wanted)) {
        uint32_t count = batch_size(estimate, MOST_SAMPLES - samples->count);
        double *seconds = samples->seconds + samples->count;
        monarch_status result =
            monarch_plan_time(plan, session->queue, args, count, seconds, &error);
        if (result) {
            return fail_library(result, &error);
        }
        for (uint32_t i = 0; i < count; i++) {
            samples->total += seconds[i];
        }
        samples->count += count;
        progress("%s: %zu samples, %.1f of %.1f s", label, samples->count, samples->total, wanted);
    }
    return status;
}

static int fill(struct session *session, const struct tensors *tensors,
                const monarch_problem *problem, uint64_t seed)
{
    monarch_dtype dtype = problem->q.dtype;
    int status = random_fill(session, tensors->q, dtype, elements_q(problem), seed, STREAM_Q);
    if (!status) {
        status = random_fill(session, tensors->k, dtype, elements_k(problem), seed, STREAM_K);
    }
    if (!status) {
        status = random_fill(session, tensors->v, dtype, elements_v(problem), seed, STREAM_V);
    }
    return status;
}

static int run_and_check(struct session *session, const monarch_plan *plan,
                         const struct measure_options *options, const char *label,
                         const struct tensors *tensors, struct measurement *measurement)
{
    struct samples samples = {.seconds = malloc(MOST_SAMPLES * sizeof(double))};
    if (!samples.seconds) {
        return fail_memory("the samples", MOST_SAMPLES * sizeof(double));
    }
    monarch_plan_args args = tensors_args(tensors);
    progress("%s: random input", label);
    int status = fill(session, tensors, &measurement->problem, options->seed);
    if (!status) {
        status = take_samples(session, plan, &args, options->seconds, label, &samples);
    }
    if (!status) {
        measurement->stats = stats_of(samples.seconds, samples.count);
        status = host_cost(session, plan, &args, measurement->stats.median, &measurement->host);
    }
    if (!status) {
        progress("%s: checking the result", label);
        int64_t heads = measurement->problem.batch * measurement->problem.heads;
        int64_t index = random_below(options->seed, 0, heads);
        measurement->batch = index / measurement->problem.heads;
        measurement->head = index % measurement->problem.heads;
        status = check_head(session, &measurement->problem, tensors, measurement->batch,
                            measurement->head, &measurement->error);
    }
    progress_clear();
    free(samples.seconds);
    return status;
}

int measure(struct session *session, const struct bench_problem *problem,
            const struct measure_options *options, const char *label,
            struct measurement *measurement)
{
    memset(measurement, 0, sizeof *measurement);
    measurement->error = NAN;
    measurement->host = NAN;
    measurement->problem = monarch_problem_default();
    measurement->cost.struct_size = (uint32_t)sizeof measurement->cost;
    monarch_error error = {0};
    monarch_plan *plan = NULL;
    struct tensors tensors = {0};
    monarch_problem descriptor = make_problem(&problem->options, &problem->shape);
    int status = session_plan(session, &descriptor, &problem->options, &plan);
    if (!status && (monarch_plan_problem(plan, &measurement->problem, &error) ||
                    monarch_plan_cost(plan, &measurement->cost, &error))) {
        status = fail_library(error.status, &error);
    }
    if (!status) {
        plan_variant(plan, measurement->variant, sizeof measurement->variant);
        status = tensors_create(&tensors, session, plan, &measurement->problem);
    }
    if (!status) {
        status = run_and_check(session, plan, options, label, &tensors, measurement);
    }
    tensors_destroy(&tensors);
    monarch_plan_destroy(&plan);
    return status;
}
