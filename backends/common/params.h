/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_COMMON_PARAMS_H
#define MN_COMMON_PARAMS_H

#include "core/backend.h"
#include "shaders/params.h"

/*
 * The parameter block of a launch, made when a plan is built. Until an execution fills them in,
 * addresses are offsets in bytes: within the caller's tensor, or within the workspace.
 */
typedef struct mn_launch_params {
    mn_stage_params block;
    uint8_t source[MN_OPERAND_COUNT]; /* mn_source; a slot means the workspace */
} mn_launch_params;

/* The block of step `index` of a plan whose workspace is laid out. */
void mn_params_from_step(const monarch_plan *plan, uint32_t index, mn_launch_params *params);

/*
 * The block of a run that does the whole program at once: QUERIES, KEYS, VALUES and MASK as the
 * RIGHT kinds see them (group = block, index = position), RESULT likewise.
 */
void mn_params_from_program(const monarch_plan *plan, mn_launch_params *params);

/* Sets STATS to a place in the workspace, `offset` bytes from its start. */
void mn_params_set_stats(mn_launch_params *params, uint64_t offset);

/* Bytes that the STATS of a step take. */
uint64_t mn_params_stats_size(const mn_program *program, const mn_step *step);

/*
 * Writes the block with the addresses of one execution. Each `vectors` is lowered where an address
 * turns out not to be a multiple of 16 bytes. For devices whose memory has addresses.
 */
void mn_params_bind(const mn_launch_params *params, const mn_bindings *bindings,
                    mn_stage_params *block);

/*
 * The same for devices whose memory is opaque: an address is the distance in bytes from the start
 * of memory[i], which is the memory of operand i and NULL where the operand is absent. Memory
 * itself counts as aligned unless its handle is a pointer.
 */
void mn_params_place(const mn_launch_params *params, const mn_bindings *bindings,
                     mn_stage_params *block, const monarch_memory *memory[MN_OPERAND_COUNT]);

#endif
