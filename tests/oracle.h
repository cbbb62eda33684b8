/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The reference: MonarchAttention of one head in f64, written straight from the equations in
 * <monarch/problem.h>. It is meant to be read, not to be fast: R and L are stored whole, so it
 * needs O(N*B + N*M) memory. It shares no code with the library.
 *
 * With N tokens, blocks of B, M = ceil(N / B), features D and Dv:
 *   q, k [N][D]    v, out [N][Dv]    mask [N], 0 = masked
 *   aL, aR, mean [M][B][D]    cL, cR [M][B]    y [M][B][Dv]    index (k, j)
 *   R [M][B][B] index (k, j, i)    L [B][M][M] index (j, k, l)
 * Functions that return int give 0, or -1 when memory ran out.
 */
typedef struct oracle_problem {
    int64_t tokens;      /* N >= 1 */
    int64_t head_dim;    /* D >= 1 */
    int64_t value_dim;   /* Dv >= 1 */
    int64_t block;       /* B >= 1; a B above N counts as N */
    int64_t steps;       /* T >= 1 */
    double scale;        /* s; 0 = 1 / sqrt(D) */
    int pad_begin;       /* padding stands before the first token, else after the last */
    const uint8_t *mask; /* NULL = no token is masked */
} oracle_problem;

/*
 * mean is the weighted mean of queries aR / cR, which exists even where aR and cR are too small for
 * a double; 0 where no query is there, so that R is uniform.
 */
typedef struct oracle_values {
    double *aL, *cL, *aR, *cR, *mean, *y;
} oracle_values;

int64_t oracle_block(const oracle_problem *p);  /* B, cut to N */
int64_t oracle_blocks(const oracle_problem *p); /* M */

/* The token at position j of block k, or -1 if that is padding. */
int64_t oracle_token(const oracle_problem *p, int64_t k, int64_t j);

/* Whether position j of block k holds a token that is not masked. */
int oracle_valid(const oracle_problem *p, int64_t k, int64_t j);

/* The whole algorithm, and softmax attention without approximation. */
int oracle_monarch(const oracle_problem *p, const double *q, const double *k, const double *v,
                   double *out);
int oracle_exact(const oracle_problem *p, const double *q, const double *k, const double *v,
                 double *out);

/*
 * The same, with what each of the 2T stages hands on: stages[i] receives the outputs of stage i
 * (see <monarch/stages.h>) in those of its arrays that are not NULL. stages may be NULL.
 */
int oracle_stages(const oracle_problem *p, const double *q, const double *k, const double *v,
                  const oracle_values *stages, double *out);

/* Memory for all arrays. */
int oracle_values_alloc(const oracle_problem *p, oracle_values *values);
void oracle_values_free(oracle_values *values);

/* aR, cR and mean of the initial L, the identity: the rows of Q, left out where a token is masked.
 */
void oracle_first(const oracle_problem *p, const double *q, const oracle_values *out);

/* mean = aR / cR, for inputs of a single stage. */
void oracle_accept(const oracle_problem *p, const oracle_values *values);

/* R from mean, and log L from aL and cL; -inf where the weight is exactly 0. */
void oracle_weights_right(const oracle_problem *p, const double *k, const oracle_values *in,
                          double *R);
void oracle_log_weights_left(const oracle_problem *p, const double *q, const oracle_values *in,
                             double *log_L);

/* One stage: right (y too, unless v or out->y is NULL), left, and the output rows. */
int oracle_right(const oracle_problem *p, const double *k, const double *v, const oracle_values *in,
                 const oracle_values *out);
int oracle_left(const oracle_problem *p, const double *q, const oracle_values *in,
                const oracle_values *out);
int oracle_left_out(const oracle_problem *p, const double *q, const oracle_values *in, double *out);

/*
 * The variational objective after a right stage, with the best L for it: the sum over unmasked
 * query rows of logsumexp_k(Q . aL - cL). Never falls from one right stage to the next and never
 * exceeds oracle_bound, the same sum for softmax attention. Both are 0 if every token is masked.
 */
double oracle_objective(const oracle_problem *p, const double *q, const oracle_values *in);
double oracle_bound(const oracle_problem *p, const double *q, const double *k);

/*
 * The largest |s Q.K| of all query and unmasked key tokens; rows that are not finite do not
 * count. Bounds every score of every stage: aR/cR is a weighted mean of queries, aL/s of keys.
 */
double oracle_largest_score(const oracle_problem *p, const double *q, const double *k);

#endif
