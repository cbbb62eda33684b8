/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <monarch/verify.h>

/*
 * A backend that is wrong on purpose: a right one, and one stage of it spoilt in a way in which
 * kernels are spoilt. It has what monarch/verify.h asks for, so it is what a verification has to
 * see through. Problems must be packed, with k and v of as many heads as q and of its dtype.
 */
typedef enum fault {
    FAULT_NONE = 0,
    FAULT_BARRIER,    /* part of what a group reads was not written yet */
    FAULT_HEADS,      /* two heads take each other's place */
    FAULT_TAIL,       /* the last rows of every group, or the last block, are not computed */
    FAULT_MASK,       /* the mask is ignored */
    FAULT_STRIDE,     /* a head's rows are read one row off, more so for every head */
    FAULT_F16_SUMS,   /* sums are rounded to f16 after every term */
    FAULT_PADDING,    /* the token next to the padding is taken for padding */
    FAULT_STALE,      /* one head's output is not written: an earlier execution's is there */
    FAULT_UNORDERED,  /* in the whole program alone, one head runs before its input is there */
    FAULT_RESULT,     /* the stages are right when they are looked at; the result is not */
    FAULT_RANDOM,     /* the last bit of one element of the result changes from run to run */
    FAULT_NEIGHBOURS, /* the last bit of the result depends on how many heads there are */
    FAULT_OUTSIDE,    /* an input is written to */
    FAULT_COUNT
} fault;

const char *fault_name(fault kind);

typedef struct faulty {
    fault kind;
    uint32_t stage;
    monarch_verify_subject right; /* the backend that does the work */
    monarch_verify_subject subject;
    int runs;
} faulty;

/* `f` must stay where it is as long as f->subject is used. */
void faulty_make(faulty *f, fault kind, uint32_t stage, const monarch_verify_subject *right);

/* A stage whose sums are of f16, by the weights of the oracle; in faults_f16.c. */
monarch_status faulty_f16_stage(const monarch_problem *resolved, uint32_t index,
                                const monarch_stage_tensors *tensors,
                                const monarch_stage_values *inputs,
                                const monarch_stage_values *outputs);

#endif
