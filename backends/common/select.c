/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/common/select.h"

#include <inttypes.h>

#include "core/error.h"

/* The variant called `name`, or an error that lists the names there are. */
static monarch_status check_name(const mn_variant *const *table, uint32_t count,
                                 const monarch_device *device, const char *name,
                                 monarch_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(table[i]->name, name) == 0)
            return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "there is no variant \"%s\" on %s:%" PRIu32 "; it has: %s", name,
                   device->info.backend, device->info.index, device->info.variants);
}

monarch_status mn_refuse_fp8(const monarch_device *device, const mn_program *program,
                             monarch_error *error)
{
    if (program->problem.intermediates != MONARCH_INTERMEDIATES_FP8)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "fp8 intermediates on %s:%" PRIu32
                   ": no variant of the %s backend has them; cpu "
                   "and cuda devices do",
                   device->info.backend, device->info.index, device->info.backend);
}

monarch_status mn_select_runs(const mn_variant *const *table, uint32_t count,
                              const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error)
{
    *run_count = 0;
    if (options->variant)
        MN_TRY(check_name(table, count, device, options->variant, error));
    for (uint32_t first = 0; first < program->step_count;) {
        uint32_t limit = options->unfused ? 1 : program->step_count - first;
        mn_reason reason = {"no variant"};
        uint32_t covered = 0;
        for (uint32_t i = 0; i < count && covered == 0; i++) {
            const mn_variant *variant = table[i];
            if (options->variant && strcmp(variant->name, options->variant) != 0)
                continue;
            covered = variant->covers(variant, device, program, first, limit, &reason);
            if (covered > 0 && !options->variant && variant->suits &&
                !variant->suits(variant, device, program, first, covered))
                covered = 0;
            if (covered > 0)
                runs[(*run_count)++] = (mn_run){
                    .first = first,
                    .count = covered,
                    .variant = variant,
                    .name = variant->name,
                    .scratch = variant->scratch(variant, device, program, first, covered),
                };
        }
        if (covered == 0)
            return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                           "stage %" PRIu32 " (%s) on %s:%" PRIu32 ": %s", first,
                           monarch_stage_kind_name(program->steps[first].kind),
                           device->info.backend, device->info.index, reason.text);
        first += covered;
    }
    return MONARCH_OK;
}
