/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "head.h"
#include "random.h"

/* The oracle against what is known without it. No device takes part. */

/* Rounding of f64, with room for sums of a few thousand terms. */
#define NEAR 1e-11

static void *alloc_doubles(size_t count)
{
    return test_alloc(count, sizeof(double));
}

static size_t out_count(const head_data *head)
{
    return (size_t)(head->p.tokens * head->p.value_dim);
}

static void run_monarch(const head_data *head, double *out)
{
    if (oracle_monarch(&head->p, head->q, head->k, head->v, out) != 0)
        abort();
}

/* Runs a check on every head of a case; inputs without NaN in q. */
static void for_each_head(const test_entry *entry, test_report *report,
                          void (*check)(head_data *head, test_report *report))
{
    test_inputs inputs;

    test_inputs_create(&inputs, entry->c, entry->dtype, entry->seed);
    for (int64_t i = 0; i < inputs.q.batch * inputs.q.heads; i++) {
        head_data head;
        head_read(&head, &inputs, i / inputs.q.heads, i % inputs.q.heads);
        check(&head, report);
        head_free(&head);
    }
    test_inputs_free(&inputs);
}

/*
 * Four tokens in two blocks, D = Dv = s = 1, one step, worked out by hand: the weights of each
 * query are rational but for the entropies, which make the factors below.
 */
static void test_by_hand(const test_entry *entry, test_report *report)
{
    const double q[] = {0, log(2), log(3), 0}, k[] = {0, 1, 0, 2}, v[] = {1, 2, 3, 5};
    oracle_problem p = {
        .tokens = 4, .head_dim = 1, .value_dim = 1, .block = 2, .steps = 1, .scale = 1.0};
    /* R: (1/2, 1/2), (1/3, 2/3) | (1/10, 9/10), (1/2, 1/2); so y: 3/2, 5/3 | 24/5, 4. */
    double a = pow(10, 0.1) * pow(10.0 / 9.0, 0.9), b = 3 / pow(2, 2.0 / 3.0), c = 2 * sqrt(3);
    const double expected_out[] = {
        (2 * 1.5 + a * 4.8) / (2 + a),     /* token 0: weights of the blocks 2 : a */
        (3 * 5.0 / 3 + 4 * 4.0) / (3 + 4), /* token 1: 3 : 4 */
        (c * 1.5 + 10 * 4.8) / (c + 10),   /* token 2: 2 sqrt(3) : 10 */
        (b * 5 / 3 + 2 * 4.0) / (b + 2),   /* token 3: 3 / 2^(2/3) : 2 */
    };
    double out[4];

    (void)entry;
    if (oracle_monarch(&p, q, k, v, out) != 0)
        abort();
    for (int n = 0; n < 4; n++)
        if (!(fabs(out[n] - expected_out[n]) < NEAR))
            test_fail(report, "token %d: %.15g instead of %.15g", n, out[n], expected_out[n]);
}

/* One block, or blocks of one token: exact attention. */
static void check_exact(head_data *head, test_report *report)
{
    double *out = alloc_doubles(out_count(head)), *exact = alloc_doubles(out_count(head));
    double largest = 0.0;

    run_monarch(head, out);
    if (oracle_exact(&head->p, head->q, head->k, head->v, exact) != 0)
        abort();
    for (size_t i = 0; i < out_count(head); i++) {
        int64_t n = (int64_t)i / head->p.value_dim;
        /* With one block R of a masked query is uniform: it is left out of aR and cR. */
        if (oracle_block(&head->p) > 1 && head->p.mask != NULL && head->p.mask[n] == 0)
            continue;
        if (!(fabs(out[i] - exact[i]) <= largest))
            largest = fabs(out[i] - exact[i]);
    }
    if (!(largest < NEAR))
        test_fail(report, "differs from exact attention by %.3g", largest);
    free(out);
    free(exact);
}

static void test_exact(const test_entry *entry, test_report *report)
{
    for_each_head(entry, report, check_exact);
}

/* v = 1 gives 1, or 0 where every key is masked. */
static void check_ones(head_data *head, test_report *report)
{
    double *out = alloc_doubles(out_count(head));
    int any = 0;

    for (int64_t n = 0; n < head->p.tokens; n++)
        any |= head->p.mask == NULL || head->p.mask[n] != 0;
    run_monarch(head, out);
    for (size_t i = 0; i < out_count(head); i++)
        if (any ? !(fabs(out[i] - 1.0) < NEAR) : out[i] != 0.0) {
            test_fail(report, "element %zu is %.15g for v = 1", i, out[i]);
            break;
        }
    free(out);
}

static void test_ones(const test_entry *entry, test_report *report)
{
    for_each_head(entry, report, check_ones);
}

/* The objective never falls, and never exceeds that of exact attention. */
static void check_objective(head_data *head, test_report *report)
{
    enum { STEPS = 5 };
    oracle_values stages[2 * STEPS];
    double *out = alloc_doubles(out_count(head));
    double bound = oracle_bound(&head->p, head->q, head->k), before = -INFINITY;

    head->p.steps = STEPS;
    for (int i = 0; i < 2 * STEPS; i++)
        if (oracle_values_alloc(&head->p, &stages[i]) != 0)
            abort();
    if (oracle_stages(&head->p, head->q, head->k, head->v, stages, out) != 0)
        abort();
    for (int t = 0; t < STEPS; t++) {
        double now = oracle_objective(&head->p, head->q, &stages[2 * t]);
        double slack = NEAR * (1.0 + fabs(bound));
        if (!(now >= before - slack) || !(now <= bound + slack))
            test_fail(report, "step %d: objective %.15g, before it %.15g, bound %.15g", t, now,
                      before, bound);
        before = now;
    }
    for (int i = 0; i < 2 * STEPS; i++)
        oracle_values_free(&stages[i]);
    free(out);
}

static void test_objective(const test_entry *entry, test_report *report)
{
    for_each_head(entry, report, check_objective);
}

/* sum_i p (x - log p) for a distribution p; x = -inf where p must be 0. */
static double free_energy(const double *p, const double *x, int64_t count, int64_t stride)
{
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        if (p[i * stride] > 0.0)
            sum += p[i * stride] * (x[i * stride] - log(p[i * stride]));
    return sum;
}

/* Moves a distribution a little way towards a random one on the same support. */
static void mix(double *p, int64_t count, test_random *random)
{
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++) {
        p[i] *= 1.0 + 0.2 * (test_random_uniform(random) - 0.5);
        sum += p[i];
    }
    for (int64_t i = 0; i < count; i++)
        p[i] /= sum;
}

/* R of a block's row maximises sum_i R (score - log R): no other distribution is better. */
static void check_maximal(head_data *head, test_report *report)
{
    const oracle_problem *p = &head->p;
    int64_t B = oracle_block(p), M = oracle_blocks(p), D = p->head_dim;
    double s = p->scale != 0.0 ? p->scale : 1.0 / sqrt((double)D);
    double *R = alloc_doubles((size_t)(M * B * B)), *scores = alloc_doubles((size_t)B);
    test_random random = test_random_seed(7, "mix", (uint64_t)B);
    oracle_values now;

    if (oracle_values_alloc(p, &now) != 0)
        abort();
    oracle_first(p, head->q, &now);
    oracle_weights_right(p, head->k, &now, R);
    for (int64_t row = 0; row < M * B; row++) {
        double *weights = &R[row * B], best;
        if (now.cR[row] == 0.0)
            continue;
        for (int64_t i = 0; i < B; i++) {
            int64_t n = oracle_token(p, row / B, i);
            scores[i] = 0.0;
            for (int64_t f = 0; f < D && oracle_valid(p, row / B, i); f++)
                scores[i] += s * now.aR[row * D + f] * head->k[n * D + f];
        }
        best = free_energy(weights, scores, B, 1);
        mix(weights, B, &random);
        if (!(free_energy(weights, scores, B, 1) <= best + NEAR * (1.0 + fabs(best))))
            test_fail(report, "row %d of R is not the best", (int)row);
    }
    oracle_values_free(&now);
    free(R);
    free(scores);
}

static void test_maximal(const test_entry *entry, test_report *report)
{
    for_each_head(entry, report, check_maximal);
}

static const char *const exact_cases[] = {
    "one_token", "one_token_block_8", "two_tokens",         "block_1",      "block_1_steps_3",
    "block_n",   "block_above_n",     "block_chosen_small", "mask_block_1", "mask_block_above_n",
    NULL,
};
static const char *const ones_cases[] = {"ones", "ones_large_block", "mask_ones", NULL};
static const char *const objective_cases[] = {
    "odd_n",           "odd_n_begin",  "block_2",
    "dim_1",           "large_logits", "huge_logits",
    "mask_random_nan", "mask_blocks",  "mask_position",
    "mask_sequence",   "equal_keys",   "scale_negative",
    "vit_steps_1",     NULL,
};

enum { F32_ONLY = 1u << MONARCH_F32 };

static const test_definition definitions[] = {
    {"by_hand", test_by_hand, SCOPE_ONCE, 0, NULL, NULL},
    {"exact", test_exact, SCOPE_CASE, F32_ONLY, exact_cases, NULL},
    {"ones", test_ones, SCOPE_CASE, F32_ONLY, ones_cases, NULL},
    {"objective", test_objective, SCOPE_CASE, F32_ONLY, objective_cases, NULL},
    {"maximal", test_maximal, SCOPE_CASE, F32_ONLY, objective_cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_oracle", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
