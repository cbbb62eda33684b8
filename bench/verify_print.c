/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "report.h"

const char *verify_verdict_text(monarch_verify_verdict verdict)
{
    return verdict == MONARCH_VERIFY_PASS   ? "pass"
           : verdict == MONARCH_VERIFY_FAIL ? "FAIL"
                                            : "left out";
}

void verify_where_text(const monarch_verify_finding *f, char *text, size_t capacity)
{
    if (f->stage >= 0) {
        snprintf(text, capacity, "%d %s %s%s", f->stage, monarch_stage_kind_name(f->kind), f->array,
                 f->check == MONARCH_VERIFY_ALONE ? "" : " (program)");
    } else {
        snprintf(text, capacity, "%s", monarch_verify_check_name(f->check));
    }
}

void verify_error_of(const monarch_verify_finding *f, double *error, double *limit)
{
    bool whole = f->error * f->worst_limit > f->worst * f->limit;
    *error = whole ? f->error : f->worst;
    *limit = whole ? f->limit : f->worst_limit;
}

/* Appends to `text`; returns the new length. */
static size_t append(char *text, size_t used, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static size_t append(char *text, size_t used, size_t capacity, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = used < capacity ? vsnprintf(text + used, capacity - used, format, arguments) : 0;
    va_end(arguments);
    return used + (length > 0 ? (size_t)length : 0);
}

void verify_finding_text(const monarch_verify_finding *f, char *text, size_t capacity)
{
    static const char *const checks[] = {"alone", "in the program", "result", "second run",
                                         "one head"};
    size_t used = 0;
    if (f->stage >= 0) {
        used = append(text, used, capacity, "stage %d (%s) %s", f->stage,
                      monarch_stage_kind_name(f->kind), checks[f->check]);
    } else {
        used = append(text, used, capacity, "%s", checks[f->check]);
    }
    if (f->array[0]) {
        used = append(text, used, capacity,
                      ": %s: batch %" PRId64 ", head %" PRId64 ", block %" PRId64
                      ", position %" PRId64,
                      f->array, f->batch, f->head, f->block, f->position);
        used = f->token >= 0 ? append(text, used, capacity, " (token %" PRId64 ")", f->token)
                             : append(text, used, capacity, " (padding)");
        used = append(text, used, capacity, ", feature %" PRId64 ": %.9g instead of %.9g",
                      f->feature, f->actual, f->expected);
        used = append(text, used, capacity,
                      "; error %.3g (limit %.3g, relative %.3g), element %.3g (limit %.3g)",
                      f->error, f->limit, f->relative, f->worst, f->worst_limit);
        if (f->not_finite) {
            used = append(text, used, capacity, ", %" PRId64 " not finite", f->not_finite);
        }
    }
    if (f->text[0]) {
        append(text, used, capacity, "%s%s", f->array[0] ? "; " : ": ", f->text);
    }
}

void verify_repeat_text(const struct verify_job *job, const struct verify_unit *unit, size_t target,
                        char *text, size_t capacity)
{
    const struct verify_target *t = &job->targets[target];
    size_t used = append(text, 0, capacity, "monarch verify --device %s", t->device);
    if (t->variant[0]) {
        used = append(text, used, capacity, " --variant %s", t->variant);
    }
    if (job->options.against) {
        used = append(text, used, capacity, " --against %s", job->options.against);
    }
    used = append(text, used, capacity, " --list %s", unit->problem ? job->options.list : "none");
    append(text, used, capacity, " --case %s --dtype %s --seed %" PRIu64, unit->name,
           monarch_dtype_name(unit->dtype), job->options.seed);
}

void verify_print_head(const struct verify_job *job)
{
    printf("seed %" PRIu64 "\n", job->options.seed);
    for (uint32_t i = 0; i < monarch_instance_backend_count(job->instance); i++) {
        monarch_backend_info info = {.struct_size = (uint32_t)sizeof info};
        if (!monarch_instance_backend(job->instance, i, &info, NULL) && info.device_count == 0) {
            printf("%s  not offered: %s\n", info.name, info.reason);
        }
    }
    for (size_t t = 0; t < job->target_count; t++) {
        monarch_device_info info = {.struct_size = (uint32_t)sizeof info};
        bool again = t > 0 && job->targets[t].on.device == job->targets[t - 1].on.device;
        if (!again && !monarch_device_info_get(job->targets[t].on.device, &info, NULL)) {
            printf("%s  %s, driver %s\n", job->targets[t].device, info.name,
                   info.driver[0] ? info.driver : "-");
        }
    }
    printf("compared with %s\n\n",
           job->options.against ? job->options.against : "the f64 reference");
    printf("%-26s %-5s %-9s %-12s %-30s %9s %9s  %s\n", "case", "dtype", "device", "variant",
           "worst: stage, array", "error", "limit", "verdict");
}

static void print_row(const struct verify_job *job, const struct verify_unit *unit, size_t t)
{
    const struct verify_target *target = &job->targets[t];
    const struct verify_row *row = &unit->rows[t];
    const monarch_verify_summary *s = &row->summary;
    char where[64];
    double error, limit;
    verify_where_text(&s->worst, where, sizeof where);
    verify_error_of(&s->worst, &error, &limit);
    printf("%-26s %-5s %-9s %-12s ", unit->name, monarch_dtype_name(unit->dtype), target->device,
           target->variant[0] ? target->variant : "-");
    if (s->verdict == MONARCH_VERIFY_SKIP) {
        printf("left out: %s\n", s->worst.text);
        return;
    }
    printf("%-30s %9.2e %9.2e  %s", where, error, limit, verify_verdict_text(s->verdict));
    if (s->skipped) {
        printf(" (%u checks left out)", s->skipped);
    }
    putchar('\n');
}

static void print_failure(const struct verify_job *job, const struct verify_unit *unit, size_t t)
{
    const struct verify_row *row = &unit->rows[t];
    const monarch_verify_summary *s = &row->summary;
    monarch_verify_params params = monarch_verify_params_default();
    char text[1024];
    verify_finding_text(&s->worst, text, sizeof text);
    printf("    starts at: %s\n", text);
    const char *line = row->failures ? row->failures : "";
    while (*line) {
        int length = (int)strcspn(line, "\n");
        printf("    %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    if (row->failure_count > 8) {
        printf("    and %u more\n", row->failure_count - 8);
    }
    params.case_name = unit->name;
    params.problem = unit->problem;
    params.dtype = unit->dtype;
    params.seed = job->options.seed;
    monarch_verify_case_describe(&params, text, sizeof text);
    printf("    case %s\n", text);
    verify_repeat_text(job, unit, t, text, sizeof text);
    printf("    again: %s\n", text);
}

void verify_print_unit(struct verify_job *job, const struct verify_unit *unit)
{
    progress_clear();
    for (size_t t = 0; t < job->target_count && unit->rows; t++) {
        if (!unit->rows[t].present) {
            continue;
        }
        print_row(job, unit, t);
        if (unit->rows[t].summary.verdict == MONARCH_VERIFY_FAIL) {
            print_failure(job, unit, t);
        }
    }
    fflush(stdout); /* so that who stops it keeps what there is */
}

void verify_print_end(const struct verify_job *job)
{
    printf("\n%zu passed, %zu failed, %zu left out, of case x dtype x device x variant; "
           "%" PRIu64 " comparisons, %.0f s, seed %" PRIu64 "\n",
           job->passed, job->failed, job->left_out, job->checks, job->seconds, job->options.seed);
    if (job->not_run) {
        printf("%zu were not run: the time was up\n", job->not_run);
    }
}
