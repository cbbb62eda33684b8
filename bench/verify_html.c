/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_html.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "build_commit.h"
#include "report.h"
#include "verify_print.h"

/* A page that needs nothing but itself: no script, no font, no picture file; maps are inline SVG.
 */

enum { MAP_CELLS = 64 }; /* of a map in each direction; larger ones show the largest of several */

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;"
    "color:#1b1b1b;background:#fff}\n"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}\n"
    "table{border-collapse:collapse;font-size:.87em}\n"
    "th,td{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".fail{color:#b00020;font-weight:600}.out{color:#777}\n"
    "code{font-size:.9em;background:#f2f2f2;padding:.1em .3em}\n"
    ".maps{display:flex;flex-wrap:wrap;gap:1.4em}figure{margin:0}figcaption{font-size:.82em;"
    "max-width:18em}\n"
    "svg{background:#fff;border:1px solid #999;display:block}\n";

/* Shares of the limit: below a tenth, ... , beyond ten limits. Light to dark, red where wrong. */
static const struct {
    double above;
    const char *colour, *label;
} levels[] = {
    {0.0, "#eef3f8", "up to 1/8 of the limit"},
    {0.125, "#c9dbea", "up to 1/4"},
    {0.25, "#93b8d6", "up to 1/2"},
    {0.5, "#4f86b5", "up to the limit"},
    {1.0, "#f6b26b", "up to 4 limits"},
    {4.0, "#e0602a", "up to 100 limits"},
    {100.0, "#b00020", "more, or not finite"},
};
enum { LEVELS = sizeof levels / sizeof *levels };

static void put(struct outfile *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A failed write shows when the file is committed. */
static void put(struct outfile *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file->stream, format, arguments);
    va_end(arguments);
}

static void put_text(struct outfile *file, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            put(file, "&lt;");
            break;
        case '&':
            put(file, "&amp;");
            break;
        case '"':
            put(file, "&quot;");
            break;
        default:
            put(file, "%c", *text);
        }
    }
}

static int level_of(double value)
{
    int level = 0;
    for (int i = 1; i < LEVELS; i++) {
        if (value > levels[i].above) {
            level = i;
        }
    }
    return level;
}

/* The largest error among the map's entries that one cell of the picture stands for. */
static double cell_value(const monarch_verify_finding *f, int64_t rows, int64_t columns,
                         int64_t row, int64_t column)
{
    double largest = (double)NAN;
    for (int64_t r = row * f->map_rows / rows; r < (row + 1) * f->map_rows / rows; r++) {
        for (int64_t c = column * f->map_columns / columns;
             c < (column + 1) * f->map_columns / columns; c++) {
            double value = (double)f->map[r * f->map_columns + c];
            if (!isnan(value) && !(value <= largest)) {
                largest = value;
            }
        }
    }
    return largest;
}

/* One path for each level, a stroke for each run of equal cells in a row. */
static void put_map(struct outfile *file, const monarch_verify_finding *f)
{
    int64_t rows = f->map_rows < MAP_CELLS ? f->map_rows : MAP_CELLS;
    int64_t columns = f->map_columns < MAP_CELLS ? f->map_columns : MAP_CELLS;
    int64_t longer = rows > columns ? rows : columns;
    int64_t scale = longer > 32 ? 4 : longer > 12 ? 8 : 16;
    put(file,
        "<svg width=\"%" PRId64 "\" height=\"%" PRId64 "\" viewBox=\"0 0 %" PRId64 " %" PRId64
        "\" shape-rendering=\"crispEdges\">",
        columns * scale, rows * scale, columns, rows);
    for (int level = 0; level < LEVELS; level++) {
        put(file, "<path stroke=\"%s\" d=\"", levels[level].colour);
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t column = 0; column < columns;) {
                int64_t start = column;
                double value = cell_value(f, rows, columns, row, column);
                while (column < columns && !isnan(value) && level_of(value) == level) {
                    column++;
                    value = column < columns ? cell_value(f, rows, columns, row, column) : 0.0;
                }
                if (column > start) {
                    put(file, "M%" PRId64 " %" PRId64 ".5h%" PRId64, start, row, column - start);
                } else {
                    column++;
                }
            }
        }
        put(file, "\"/>");
    }
    put(file, "</svg>");
}

/* Told every finding of the worst case; those of stages and of the result become pictures. */
static void put_figure(void *user, const monarch_verify_finding *f)
{
    struct outfile *file = user;
    if (!f->map) {
        return;
    }
    put(file, "<figure>");
    put_map(file, f);
    put(file, "<figcaption>");
    if (f->stage >= 0) {
        put(file, "stage %d (%s), %s, <b>%s</b>", f->stage, monarch_stage_kind_name(f->kind),
            f->check == MONARCH_VERIFY_ALONE ? "alone" : "in the program", f->array);
    } else {
        put(file, "<b>result</b>");
    }
    put(file,
        "<br>batch %" PRId64 ", head %" PRId64 "; worst at block %" PRId64 ", position %" PRId64
        ", feature %" PRId64
        ": %.6g for %.6g<br><span class=\"%s\">error %.2e, limit %.2e; element "
        "%.2e, limit %.2e</span></figcaption></figure>\n",
        f->batch, f->head, f->block, f->position, f->feature, f->actual, f->expected,
        f->verdict == MONARCH_VERIFY_FAIL ? "fail" : "", f->error, f->limit, f->worst,
        f->worst_limit);
}

static double nearness(const monarch_verify_finding *f)
{
    double error, limit;
    verify_error_of(f, &error, &limit);
    return f->not_finite ? (double)INFINITY : limit > 0.0 ? error / limit : 0.0;
}

/* A failed row before others, then the one nearest to its limit. */
static bool find_worst(const struct verify_job *job, size_t *unit, size_t *target)
{
    bool found = false;
    for (size_t i = 0; i < job->unit_count; i++) {
        for (size_t t = 0; t < job->target_count && job->units[i].rows; t++) {
            const monarch_verify_summary *s = &job->units[i].rows[t].summary;
            const monarch_verify_summary *best =
                found ? &job->units[*unit].rows[*target].summary : NULL;
            if (!job->units[i].rows[t].present || s->verdict == MONARCH_VERIFY_SKIP) {
                continue;
            }
            if (!best || (s->failed > 0) > (best->failed > 0) ||
                ((s->failed > 0) == (best->failed > 0) &&
                 nearness(&s->worst) > nearness(&best->worst))) {
                *unit = i;
                *target = t;
                found = true;
            }
        }
    }
    return found;
}

static void put_head(const struct verify_job *job, struct outfile *file)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts)) {
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &parts);
    }
    put(file,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<title>monarch verify</title>\n<style>\n%s</style></head><body>\n",
        style);
    put(file,
        "<h1>Verification of MonarchAttention backends</h1>\n<p>%s, commit %s, seed "
        "<code>%" PRIu64 "</code>, compared with %s.<br>\n<b>%zu passed, <span%s>%zu "
        "failed</span>, %zu left out</b> of case &times; dtype &times; device &times; "
        "variant; %" PRIu64 " comparisons in %.0f s.</p>\n",
        date, BUILD_COMMIT, job->options.seed,
        job->options.against ? job->options.against : "the f64 reference", job->passed,
        job->failed ? " class=\"fail\"" : "", job->failed, job->left_out, job->checks,
        job->seconds);
    if (job->not_run) {
        put(file, "<p>%zu were not run: the time was up.</p>\n", job->not_run);
    }
}

/* One line for each device and variant: counts, and the row nearest to its limit. */
static void put_targets(const struct verify_job *job, struct outfile *file)
{
    put(file, "<h2>Devices and variants</h2>\n<table><tr><th>device<th>variant<th>name<th>driver"
              "<th>passed<th>failed<th>left out<th>nearest to its limit<th>error / limit</tr>\n");
    for (size_t t = 0; t < job->target_count; t++) {
        size_t counts[3] = {0};
        const struct verify_unit *nearest = NULL;
        for (size_t i = 0; i < job->unit_count; i++) {
            const struct verify_unit *unit = &job->units[i];
            if (!unit->rows || !unit->rows[t].present) {
                continue;
            }
            counts[unit->rows[t].summary.verdict]++;
            if (unit->rows[t].summary.verdict != MONARCH_VERIFY_SKIP &&
                (!nearest || nearness(&unit->rows[t].summary.worst) >
                                 nearness(&nearest->rows[t].summary.worst))) {
                nearest = unit;
            }
        }
        monarch_device_info info = {.struct_size = (uint32_t)sizeof info};
        (void)monarch_device_info_get(job->targets[t].on.device, &info, NULL);
        put(file, "<tr><td>%s<td>%s<td>", job->targets[t].device,
            job->targets[t].variant[0] ? job->targets[t].variant : "its choice");
        put_text(file, info.name);
        put(file, "<td>");
        put_text(file, info.driver);
        put(file, "<td class=\"n\">%zu<td class=\"n%s\">%zu<td class=\"n\">%zu<td>", counts[0],
            counts[1] ? " fail" : "", counts[1], counts[2]);
        if (nearest) {
            char where[64];
            verify_where_text(&nearest->rows[t].summary.worst, where, sizeof where);
            put(file, "%s %s, %s<td class=\"n\">%.2f", nearest->name,
                monarch_dtype_name(nearest->dtype), where,
                nearness(&nearest->rows[t].summary.worst));
        } else {
            put(file, "-<td class=\"n\">-");
        }
        put(file, "</tr>\n");
    }
    put(file, "</table>\n");
}

enum { FAILURES_SHOWN = 200 };

static void put_failures(const struct verify_job *job, struct outfile *file)
{
    size_t shown = 0;
    char text[1024];
    if (!job->failed) {
        return;
    }
    put(file, "<h2>Failures</h2>\n<table><tr><th>case<th>dtype<th>device<th>variant<th>where it "
              "starts, and how to repeat it</tr>\n");
    for (size_t i = 0; i < job->unit_count; i++) {
        const struct verify_unit *unit = &job->units[i];
        for (size_t t = 0; t < job->target_count && unit->rows && shown < FAILURES_SHOWN; t++) {
            if (!unit->rows[t].present || unit->rows[t].summary.verdict != MONARCH_VERIFY_FAIL) {
                continue;
            }
            shown++;
            put(file, "<tr><td>%s<td>%s<td>%s<td>%s<td>", unit->name,
                monarch_dtype_name(unit->dtype), job->targets[t].device, job->targets[t].variant);
            verify_finding_text(&unit->rows[t].summary.worst, text, sizeof text);
            put_text(file, text);
            verify_repeat_text(job, unit, t, text, sizeof text);
            put(file, "<br><code>");
            put_text(file, text);
            put(file, "</code></tr>\n");
        }
    }
    put(file, "</table>\n");
    if (job->failed > shown) {
        put(file, "<p>and %zu more</p>\n", job->failed - shown);
    }
}

static int put_worst(struct verify_job *job, struct outfile *file)
{
    size_t unit = 0, target = 0;
    char text[600];
    if (!find_worst(job, &unit, &target)) {
        return TOOL_OK;
    }
    verify_repeat_text(job, &job->units[unit], target, text, sizeof text);
    put(file, "<h2>The worst case: %s, %s, on %s</h2>\n<p><code>", job->units[unit].name,
        monarch_dtype_name(job->units[unit].dtype), job->targets[target].name);
    put_text(file, text);
    put(file, "</code></p>\n<p>Errors of every stage in one batch entry and head, the one with the "
              "worst element: rows are blocks, columns positions in the block, each cell the "
              "largest error of its features as a share of what is allowed to one element. White "
              "is padding.</p>\n<p>");
    for (int i = 0; i < LEVELS; i++) {
        put(file,
            "<span style=\"background:%s;padding:0 .6em;margin-right:.4em\"></span>%s &nbsp; ",
            levels[i].colour, levels[i].label);
    }
    put(file, "</p>\n<div class=\"maps\">\n");
    int status = verify_job_repeat(job, &job->units[unit], target, put_figure, file);
    put(file, "</div>\n");
    return status;
}

int verify_html_write(struct verify_job *job, struct outfile *file)
{
    put_head(job, file);
    put_targets(job, file);
    put_failures(job, file);
    int status = put_worst(job, file);
    put(file, "</body></html>\n");
    return status;
}
