/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How another project checks its own kernels with monarch/verify.h: fill in a subject, run it over
 * cases, look at the summary. The "kernel" here is exact softmax attention in plain loops, which is
 * what MonarchAttention is for one block; such a backend has a result and no stages.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <monarch/monarch.h>
#include <monarch/verify.h>

/* One row of packed f32 tensors, one head. */
static void attend(const monarch_problem *p, const float *q, const float *k, const float *v,
                   float scale, double *weights, float *out)
{
    int64_t dim = p->head_dim, value_dim = p->value_dim ? p->value_dim : dim;
    double largest = -INFINITY, total = 0.0;
    for (int64_t m = 0; m < p->tokens; m++) {
        weights[m] = 0.0;
        for (int64_t f = 0; f < dim; f++)
            weights[m] += (double)(scale * q[f] * k[m * dim + f]);
        largest = fmax(largest, weights[m]);
    }
    for (int64_t m = 0; m < p->tokens; m++)
        total += weights[m] = exp(weights[m] - largest);
    for (int64_t f = 0; f < value_dim; f++) {
        double sum = 0.0;
        for (int64_t m = 0; m < p->tokens; m++)
            sum += weights[m] / total * (double)v[m * value_dim + f];
        out[f] = (float)sum;
    }
}

static monarch_status run(void *user, const monarch_problem *p,
                          const monarch_stage_tensors *tensors, int workspace_byte,
                          monarch_error *error)
{
    int64_t dim = p->head_dim, value_dim = p->value_dim ? p->value_dim : dim;
    float scale = p->scale != 0.0f ? p->scale : 1.0f / sqrtf((float)dim);
    (void)user;
    (void)workspace_byte; /* there is no scratch memory that anybody else could have filled */
    if (p->has_mask || p->block_size < p->tokens || (p->kv_heads && p->kv_heads != p->heads) ||
        p->q.dtype != MONARCH_F32) {
        snprintf(error->message, sizeof error->message, "this kernel has no masks and no blocks");
        return error->status = MONARCH_ERROR_UNSUPPORTED;
    }
    double *weights = malloc((size_t)p->tokens * sizeof *weights);
    if (!weights)
        return error->status = MONARCH_ERROR_OUT_OF_MEMORY;
    for (int64_t row = 0; row < p->batch * p->heads * p->tokens; row++) {
        int64_t first = row / p->tokens * p->tokens; /* token 0 of the same head */
        attend(p, (const float *)tensors->q + row * dim, (const float *)tensors->k + first * dim,
               (const float *)tensors->v + first * value_dim, scale, weights,
               (float *)tensors->out + row * value_dim);
    }
    free(weights);
    return MONARCH_OK;
}

static void tell(void *user, const monarch_verify_finding *finding)
{
    (void)user;
    printf("  %s: %s, error %.2e, limit %.2e %s\n", monarch_verify_check_name(finding->check),
           finding->verdict == MONARCH_VERIFY_PASS   ? "pass"
           : finding->verdict == MONARCH_VERIFY_FAIL ? "FAIL"
                                                     : "left out",
           finding->error, finding->limit, finding->text);
}

/* Returns the verdict; a case that cannot be made is a failure. */
static monarch_verify_verdict check(const char *name, monarch_dtype dtype)
{
    monarch_verify_subject subject = {
        .struct_size = sizeof subject, .neighbours = 1, .name = "plain loops", .run = run};
    monarch_verify_params params = monarch_verify_params_default();
    monarch_verify_summary summary = {.struct_size = sizeof summary};
    monarch_verification *verification = NULL;
    monarch_error error = {MONARCH_OK, ""};
    params.case_name = name;
    params.dtype = dtype;
    params.seed = 1;
    printf("%s, %s\n", name, monarch_dtype_name(dtype));
    if (monarch_verification_create(&params, &verification, &error) != MONARCH_OK ||
        monarch_verification_run(verification, &subject, tell, NULL, &summary, &error) !=
            MONARCH_OK) {
        fprintf(stderr, "%s\n", error.message);
        return MONARCH_VERIFY_FAIL;
    }
    monarch_verification_destroy(&verification);
    return summary.verdict;
}

int main(void)
{
    /* One block is exact attention; with more blocks this kernel refuses, which is no failure. */
    int good = check("block_n", MONARCH_F32) == MONARCH_VERIFY_PASS &&
               check("block_above_n", MONARCH_F32) == MONARCH_VERIFY_PASS &&
               check("odd_n", MONARCH_F32) == MONARCH_VERIFY_SKIP &&
               check("block_n", MONARCH_F16) == MONARCH_VERIFY_SKIP;
    return good ? 0 : 1;
}
