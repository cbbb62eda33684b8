/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "build_commit.h"
#include "verify_print.h"

/* JSON on standard output; what is not finite is null, which is all that JSON has for it. */

static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            printf("\\%c", *text);
        } else if ((unsigned char)*text < ' ') {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void print_text(const char *key, const char *text)
{
    printf("\"%s\": ", key);
    print_string(text);
    printf(", ");
}

static void print_number(const char *key, double value)
{
    if (isfinite(value)) {
        printf("\"%s\": %.9g, ", key, value);
    } else {
        printf("\"%s\": null, ", key);
    }
}

static void print_integer(const char *key, int64_t value)
{
    printf("\"%s\": %" PRId64 ", ", key, value);
}

static void print_finding(const monarch_verify_finding *f)
{
    print_text("check", monarch_verify_check_name(f->check));
    print_text("array", f->array);
    print_number("error", f->error);
    print_number("limit", f->limit);
    print_number("relative", f->relative);
    print_number("worst", f->worst);
    print_number("worst_limit", f->worst_limit);
    print_integer("not_finite", f->not_finite);
    print_integer("batch", f->batch);
    print_integer("head", f->head);
    print_integer("block", f->block);
    print_integer("position", f->position);
    print_integer("token", f->token);
    print_integer("feature", f->feature);
    print_number("actual", f->actual);
    print_number("expected", f->expected);
    print_text("text", f->text);
}

static void print_row(const struct verify_job *job, const struct verify_unit *unit, size_t t)
{
    const struct verify_target *target = &job->targets[t];
    const monarch_verify_summary *s = &unit->rows[t].summary;
    char again[512];
    verify_repeat_text(job, unit, t, again, sizeof again);
    printf("  {");
    print_text("case", unit->name);
    print_text("dtype", monarch_dtype_name(unit->dtype));
    print_text("device", target->device);
    print_text("variant", target->variant);
    print_text("verdict", s->verdict == MONARCH_VERIFY_PASS   ? "pass"
                          : s->verdict == MONARCH_VERIFY_FAIL ? "fail"
                                                              : "left out");
    print_integer("starts_at_stage", s->stage);
    print_integer("stage", s->worst.stage);
    print_text("kind", s->worst.stage >= 0 ? monarch_stage_kind_name(s->worst.kind) : "");
    print_finding(&s->worst);
    print_integer("passed", s->passed);
    print_integer("failed", s->failed);
    print_integer("left_out", s->skipped);
    printf("\"again\": ");
    print_string(again);
    printf("}");
}

static void print_devices(const struct verify_job *job)
{
    const char *between = "";
    printf("\"devices\": [");
    for (size_t t = 0; t < job->target_count; t++) {
        monarch_device_info info = {.struct_size = (uint32_t)sizeof info};
        bool again = t > 0 && job->targets[t].on.device == job->targets[t - 1].on.device;
        if (again || monarch_device_info_get(job->targets[t].on.device, &info, NULL)) {
            continue;
        }
        printf("%s{", between);
        print_text("device", job->targets[t].device);
        print_text("name", info.name);
        printf("\"driver\": ");
        print_string(info.driver);
        printf("}");
        between = ", ";
    }
    printf("],\n");
}

void verify_print_json(const struct verify_job *job)
{
    const char *between = "";
    printf("{\"version\": 1,\n");
    print_text("commit", BUILD_COMMIT);
    printf("\"seed\": %" PRIu64 ",\n", job->options.seed);
    print_text("against", job->options.against ? job->options.against : "oracle");
    print_devices(job);
    printf("\"passed\": %zu, \"failed\": %zu, \"left_out\": %zu, \"comparisons\": %" PRIu64 ", ",
           job->passed, job->failed, job->left_out, job->checks);
    print_integer("not_run", (int64_t)job->not_run);
    printf("\"seconds\": %.1f,\n\"rows\": [\n", job->seconds);
    for (size_t i = 0; i < job->unit_count; i++) {
        for (size_t t = 0; t < job->target_count && job->units[i].rows; t++) {
            if (!job->units[i].rows[t].present) {
                continue;
            }
            printf("%s", between);
            print_row(job, &job->units[i], t);
            between = ",\n";
        }
    }
    printf("\n]}\n");
}
