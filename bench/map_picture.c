/* SPDX-License-Identifier: Apache-2.0 */
#include "map_picture.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "font.h"
#include "report.h"

/* Sizes in pixels. */
enum {
    PANEL = 1024, /* at most */
    LEFT = 130,   /* numbers and title of an axis */
    TOP = 100,
    BOTTOM = 90,
    RIGHT = 60,
    SCALE_GAP = 40,
    SCALE_WIDTH = 30,
    SCALE_LABELS = 130,
    TICK = 8,
    TEXT = 2, /* font scale */
    LINE = FONT_HEIGHT * TEXT,
    MOST_TICKS = 9
};

enum { DECADES = 5 };

static const struct colour black = {0, 0, 0};

/* Means of pool * pool weights, as many as there are squares to draw. */
struct grid {
    float *values;
    int64_t size; /* in each direction */
};

/* What the weights between which the colours run. */
struct range {
    double low, high;
};

static struct colour colour_of(double weight, const struct range *range)
{
    /* From dark to light through blue, red and yellow, so that it reads without colour too. */
    static const double anchors[][3] = {
        {8, 8, 32}, {62, 34, 125}, {172, 52, 110}, {246, 134, 60}, {255, 250, 212}};
    const int last = (int)(sizeof anchors / sizeof *anchors) - 1;
    if (isnan(weight)) {
        return (struct colour){0, 255, 0};
    }
    double place = weight <= range->low
                       ? 0.0
                       : log(weight / range->low) / log(range->high / range->low) * last;
    int below = place >= last ? last - 1 : (int)place;
    double part = place >= last ? 1.0 : place - below;
    uint8_t channels[3];
    for (int i = 0; i < 3; i++) {
        channels[i] = (uint8_t)(anchors[below][i] * (1.0 - part) + anchors[below + 1][i] * part);
    }
    return (struct colour){channels[0], channels[1], channels[2]};
}

/* The mean of the weights from (row, column) on, fewer at the edges. */
static float mean(const float *map, int64_t tokens, int64_t row, int64_t column, int64_t pool)
{
    double sum = 0.0;
    int64_t bottom = row + pool < tokens ? row + pool : tokens;
    int64_t right = column + pool < tokens ? column + pool : tokens;
    for (int64_t y = row; y < bottom; y++) {
        for (int64_t x = column; x < right; x++) {
            sum += (double)map[y * tokens + x];
        }
    }
    return (float)(sum / (double)((bottom - row) * (right - column)));
}

static int make_grid(struct grid *grid, const float *map, int64_t tokens, int64_t pool)
{
    grid->size = (tokens + pool - 1) / pool;
    size_t bytes = (size_t)(grid->size * grid->size) * sizeof *grid->values;
    grid->values = malloc(bytes);
    if (!grid->values) {
        return fail_memory("the picture", bytes);
    }
    for (int64_t i = 0; i < grid->size * grid->size; i++) {
        grid->values[i] = mean(map, tokens, i / grid->size * pool, i % grid->size * pool, pool);
    }
    return TOOL_OK;
}

static struct range range_of(const struct grid *first, const struct grid *second)
{
    double high = 0.0;
    for (int64_t i = 0; i < first->size * first->size; i++) {
        high = fmax(high, fmax((double)first->values[i], (double)second->values[i]));
    }
    if (!(high > 0.0 && isfinite(high))) {
        high = 1.0;
    }
    return (struct range){pow(10.0, ceil(log10(high)) - DECADES), high};
}

/* The least of 1, 2, 5, 10, 20, ... that gives few enough ticks. */
static int64_t tick_step(int64_t tokens)
{
    static const int64_t steps[] = {1, 2, 5};
    for (int64_t decade = 1;; decade *= 10) {
        for (int i = 0; i < 3; i++) {
            if ((tokens - 1) / (steps[i] * decade) + 1 <= MOST_TICKS) {
                return steps[i] * decade;
            }
        }
    }
}

static void draw_axes(struct canvas *canvas, int x, int y, int size, int64_t tokens)
{
    static const char key_title[] = "key token";
    static const char query_title[] = "query token";
    for (int64_t token = 0; token < tokens; token += tick_step(tokens)) {
        char number[32];
        snprintf(number, sizeof number, "%" PRId64, token);
        int width = canvas_text_width(number, TEXT);
        int at = (int)(((double)token + 0.5) / (double)tokens * size);
        canvas_rectangle(canvas, x + at, y + size + 1, 2, TICK, black);
        canvas_text(canvas, x + at - width / 2, y + size + TICK + 6, TEXT, number, black);
        canvas_rectangle(canvas, x - 1 - TICK, y + at, TICK, 2, black);
        canvas_text(canvas, x - TICK - 6 - width, y + at - LINE / 2 + 2, TEXT, number, black);
    }
    canvas_text(canvas, x + (size - canvas_text_width(key_title, TEXT)) / 2,
                y + size + TICK + 2 * LINE, TEXT, key_title, black);
    canvas_text_up(canvas, x - LEFT + 12, y + (size + canvas_text_width(query_title, TEXT)) / 2,
                   TEXT, query_title, black);
}

static void draw_panel(struct canvas *canvas, int x, int size, const struct grid *grid,
                       const struct range *range, int64_t tokens, const char *title)
{
    int square = size / (int)grid->size;
    for (int64_t i = 0; i < grid->size * grid->size; i++) {
        canvas_rectangle(canvas, x + (int)(i % grid->size) * square,
                         TOP + (int)(i / grid->size) * square, square, square,
                         colour_of((double)grid->values[i], range));
    }
    canvas_frame(canvas, x, TOP, size, size, black);
    draw_axes(canvas, x, TOP, size, tokens);
    canvas_text(canvas, x + (size - canvas_text_width(title, TEXT)) / 2, TOP - LINE - 8, TEXT,
                title, black);
}

static void draw_scale(struct canvas *canvas, int x, int size, const struct range *range,
                       int64_t pool)
{
    char label[64];
    double decades = log10(range->high / range->low);
    for (int y = 0; y < size; y++) {
        double weight = range->low * pow(10.0, decades * (size - y - 0.5) / size);
        canvas_rectangle(canvas, x, TOP + y, SCALE_WIDTH, 1, colour_of(weight, range));
    }
    canvas_frame(canvas, x, TOP, SCALE_WIDTH, size, black);
    for (int i = 0; i <= (int)decades; i++) {
        int y = TOP + size - (int)(i / decades * size);
        snprintf(label, sizeof label, "%s%.0e", i ? "" : "<", range->low * pow(10.0, i));
        canvas_rectangle(canvas, x + SCALE_WIDTH + 1, y - 1, TICK, 2, black);
        canvas_text(canvas, x + SCALE_WIDTH + TICK + 6, y - LINE / 2 + 2, TEXT, label, black);
    }
    snprintf(label, sizeof label, "max %.2g", range->high);
    canvas_text(canvas, x, TOP - LINE - 8, TEXT, label, black);
    if (pool > 1) {
        snprintf(label, sizeof label, "attention weight, mean of %" PRId64 " x %" PRId64, pool,
                 pool);
    } else {
        snprintf(label, sizeof label, "attention weight");
    }
    canvas_text_up(canvas, x + SCALE_WIDTH + SCALE_LABELS,
                   TOP + (size + canvas_text_width(label, TEXT)) / 2, TEXT, label, black);
}

static int draw(const struct map_picture *picture, struct canvas *canvas, const struct grid *exact,
                const struct grid *monarch, int64_t pool)
{
    int size = (int)exact->size * (PANEL / (int)exact->size);
    int second = LEFT + size + LEFT;
    int scale = second + size + SCALE_GAP;
    int status =
        canvas_create(canvas, scale + SCALE_WIDTH + SCALE_LABELS + RIGHT, TOP + size + BOTTOM);
    if (status) {
        return status;
    }
    struct range range = range_of(exact, monarch);
    draw_panel(canvas, LEFT, size, exact, &range, picture->tokens, picture->exact_title);
    draw_panel(canvas, second, size, monarch, &range, picture->tokens, picture->monarch_title);
    draw_scale(canvas, scale, size, &range, pool);
    canvas_text(canvas, LEFT, 16, TEXT, picture->title, black);
    return TOOL_OK;
}

int map_picture_draw(const struct map_picture *picture, struct canvas *canvas)
{
    int64_t pool = (picture->tokens + PANEL - 1) / PANEL;
    struct grid exact = {0};
    struct grid monarch = {0};
    int status = make_grid(&exact, picture->exact, picture->tokens, pool);
    if (!status) {
        status = make_grid(&monarch, picture->monarch, picture->tokens, pool);
    }
    if (!status) {
        status = draw(picture, canvas, &exact, &monarch, pool);
    }
    free(exact.values);
    free(monarch.values);
    return status;
}
