/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_COMMON_SELECT_H
#define MN_COMMON_SELECT_H

#include "core/backend.h"

enum { MN_REASON_SIZE = 256 };

/* Why a variant refuses, in words. */
typedef struct mn_reason {
    char text[MN_REASON_SIZE];
} mn_reason;

/*
 * One way to run stages. A backend lists its variants in an ordered table, most specific first, a
 * plain one last; its own structure starts with this one.
 */
typedef struct mn_variant {
    const char *name;
    /* How many steps from `first` on the variant runs as one, at most `limit`; 0 with a reason
       when it cannot run step `first`. Pure. */
    uint32_t (*covers)(const struct mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit,
                       mn_reason *reason);
    /* (optional) Whether it is a good choice for such a run; not asked when it is forced. Pure. */
    bool (*suits)(const struct mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count);
    /* Bytes of workspace for its own use in such a run. Pure. */
    uint64_t (*scratch)(const struct mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count);
} mn_variant;

/* Refuses fp8 intermediates on behalf of a backend none of whose variants has them. */
monarch_status mn_refuse_fp8(const monarch_device *device, const mn_program *program,
                             monarch_error *error);

/*
 * Covers a program with runs: at each step the first variant of the table that accepts and suits
 * it, or only the one that the options force. The last variant must suit whatever it accepts. Fails
 * with UNSUPPORTED and why the last one asked, the plainest, refuses the first step that none
 * accepts.
 */
monarch_status mn_select_runs(const mn_variant *const *table, uint32_t count,
                              const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error);

#endif
