/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_VERIFY_H
#define MONARCH_VERIFY_H

#include <monarch/stages.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Is what a backend computes right, and if not, in which stage and at which element does it go
 * wrong? For devices of this library, and for kernels of any other project that can fill in
 * the functions of a monarch_verify_subject. This is what `monarch verify` is made of.
 *
 * It is a library of its own, libmonarch-verify (pkg-config: monarch-verify), because it brings
 * the f64 reference of the tests, the case table and the tolerance policy with it
 * (docs/testing.md). It is made for test programs: where host memory runs out, it prints a
 * message and ends the process with status 1. No function of libmonarch does that.
 *
 * Threads: different verifications may be used at once, one by one thread at a time.
 */

/*
 * What is to be checked. Tensors and arrays are host memory in the terms of monarch/problem.h and
 * monarch/stages.h; what a function writes holds NaN before. A function that cannot do
 * what it is asked returns UNSUPPORTED with the reason, and that check is left out; any other
 * failure fails the check. A function that is NULL is not there; `run` must be.
 */
typedef struct monarch_verify_subject {
    uint32_t struct_size; /* sizeof(monarch_verify_subject) */
    int32_t neighbours;   /* 1: one head computed alone must give the same bits. 0 where another
                             number of heads may mean another implementation. */
    const char *name;     /* for messages */
    void *user;           /* handed to the functions */

    /* The result, as users of the backend get it. Scratch memory holds `workspace_byte` in every
       byte before; where there is none, or it cannot be reached, that is to be ignored. */
    monarch_status (*run)(void *user, const monarch_problem *problem,
                          const monarch_stage_tensors *tensors, int workspace_byte,
                          monarch_error *error);

    /* As monarch_stages_run: every stage on what the one before it gave. */
    monarch_status (*stages)(void *user, const monarch_problem *problem,
                             const monarch_stage_tensors *tensors,
                             const monarch_stage_values *outputs, uint32_t count,
                             monarch_error *error);

    /* As monarch_stage_run: one stage, on the inputs given. */
    monarch_status (*stage)(void *user, const monarch_problem *problem, uint32_t index,
                            const monarch_stage_tensors *tensors,
                            const monarch_stage_values *inputs, const monarch_stage_values *outputs,
                            monarch_error *error);
} monarch_verify_subject;

/* A device of this library, with one of its variants or, if that is NULL, its own choice. */
typedef struct monarch_verify_device {
    monarch_device *device;
    const char *variant;
} monarch_verify_device;

/* The subject for `on`, which must live as long as the subject is used. */
MONARCH_API monarch_verify_subject monarch_verify_device_subject(monarch_verify_device *on,
                                                                 const char *name);

/* Which inputs, and what the results are compared with. Zero means the default. */
typedef struct monarch_verify_params {
    uint32_t struct_size; /* sizeof(monarch_verify_params) */
    monarch_dtype dtype;  /* of q, k, v and out */
    uint64_t seed;        /* inputs depend on seed, case and dtype alone */
    /* Without a problem, a case: one of monarch_verify_case_name, or "random_N", the Nth
       problem that the seed draws, N from 0. With a problem, a name for it. */
    const char *case_name;
    /* Shape, steps, block size, scale, padding; packed, standard normal q, k and v, and with
       has_mask about a third of the tokens masked. NULL: the case says it all. */
    const monarch_problem *problem;
    /* Compare with this; it must have all three functions. NULL: with the f64 reference. */
    const monarch_verify_subject *against;
    int32_t maps; /* 1: findings come with a map of errors */
    int32_t reserved;
} monarch_verify_params;

static inline monarch_verify_params monarch_verify_params_default(void)
{
    monarch_verify_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = (uint32_t)sizeof params;
    return params;
}

/* Case `index` of the table by name, NULL past its end; and in words ("" for an unknown one). */
MONARCH_API const char *monarch_verify_case_name(uint32_t index);
MONARCH_API size_t monarch_verify_case_describe(const monarch_verify_params *params, char *text,
                                                size_t capacity);

/* One case in one dtype: inputs, reference, and the errors that are allowed. */
typedef struct monarch_verification monarch_verification;

/*
 * Makes inputs and reference, and runs `against` on them. The strings and the subject must live as
 * long as the verification. Errors: INVALID_ARGUMENT (no such case, a problem that the library
 * refuses, a function of `against` missing), and what `against` returns.
 */
MONARCH_API monarch_status monarch_verification_create(const monarch_verify_params *params,
                                                       monarch_verification **verification,
                                                       monarch_error *error);

/* Frees it and nulls the handle. NULL is allowed. */
MONARCH_API void monarch_verification_destroy(monarch_verification **verification);

typedef enum monarch_verify_check {
    MONARCH_VERIFY_ALONE = 0,   /* one stage on the inputs that the other side had */
    MONARCH_VERIFY_PROGRAM = 1, /* a stage in the whole program, on the subject's own inputs */
    MONARCH_VERIFY_RESULT = 2,  /* the result of `run` */
    MONARCH_VERIFY_AGAIN = 3,   /* `run` twice, with other bytes in the workspace: equal bits */
    MONARCH_VERIFY_HEAD = 4     /* one head as a problem of its own: equal bits */
} monarch_verify_check;

typedef enum monarch_verify_verdict {
    MONARCH_VERIFY_PASS = 0,
    MONARCH_VERIFY_FAIL = 1,
    MONARCH_VERIFY_SKIP = 2 /* the subject cannot do it; `text` has the reason */
} monarch_verify_verdict;

/* One comparison of one array. */
typedef struct monarch_verify_finding {
    monarch_verify_check check;
    monarch_verify_verdict verdict;
    int32_t stage;             /* 0 .. 2T-1; -1 for the last three checks */
    monarch_stage_kind kind;   /* of the stage */
    char array[8];             /* "aL", "cL", "aR", "cR", "y" or "out" */
    double error, limit;       /* Frobenius norm of the differences */
    double relative;           /* error / norm of what is right */
    double worst, worst_limit; /* of the worst element, in units of the sum of |terms| that it is
                                  made of */
    int64_t not_finite;        /* elements that are NaN or infinite and should not be, or reverse;
                                  then `worst` is not defined, and the first one's place follows */
    int64_t batch, head, block, position, feature; /* of that element; algorithm.md has the terms */
    int64_t token;                                 /* which that is; -1 for a padding position */
    double actual, expected;                       /* its values */
    /* Errors of the (batch, head) above in units of what is allowed, the largest of all features:
       [map_rows = blocks][map_columns = block_size], above 1 what is wrong, NaN where there is
       nothing. Only with params.maps and only during the call; else NULL. */
    const float *map;
    int64_t map_rows, map_columns;
    char text[400]; /* the same in words: what is wrong, or why the check was left out */
} monarch_verify_finding;

/* What one subject's run came to. */
typedef struct monarch_verify_summary {
    uint32_t struct_size;           /* set by the caller */
    monarch_verify_verdict verdict; /* FAIL if any check failed, SKIP if all were left out */
    /*
     * Where the error starts: the first stage that is wrong alone or in the program, 2T if all
     * stages are right, or cannot be seen, and only the result is wrong; -1 without an error.
     */
    int32_t stage;
    uint32_t passed, failed, skipped; /* findings */
    monarch_verify_finding worst; /* of the failed ones that in the stage where the error starts;
                                     else the one nearest to its limit, or left out; map NULL */
} monarch_verify_summary;

typedef void (*monarch_verify_report)(void *user, const monarch_verify_finding *finding);

/*
 * Checks `subject`. Every finding is told to `report` (if not NULL) in the order of the checks.
 * Errors: INVALID_ARGUMENT; a failure of the subject is a finding and no error.
 */
MONARCH_API monarch_status monarch_verification_run(monarch_verification *verification,
                                                    const monarch_verify_subject *subject,
                                                    monarch_verify_report report, void *user,
                                                    monarch_verify_summary *summary,
                                                    monarch_error *error);

/* "alone", "program", "result", "again", "head"; "?" otherwise. Static storage. */
MONARCH_API const char *monarch_verify_check_name(monarch_verify_check check);

#ifdef __cplusplus
}
#endif
#endif
