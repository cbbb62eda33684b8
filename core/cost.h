/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_COST_H
#define MN_CORE_COST_H

#include "core/program.h"

/* Work and compulsory traffic of one stage or of a whole program. */
typedef struct mn_cost {
    double flops; /* 2 per multiply-add of the GEMMs, padding included */
    double bytes; /* every operand read once, every result written once */
} mn_cost;

mn_cost mn_cost_step(const mn_program *program, const mn_step *step);

/* Softmax attention on the same tensors; bytes are q, k, v and out once: the floor. */
mn_cost mn_cost_exact(const mn_program *program);

#endif
