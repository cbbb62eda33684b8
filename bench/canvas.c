/* SPDX-License-Identifier: Apache-2.0 */
#include "canvas.h"

#include <stdlib.h>
#include <string.h>

#include "font.h"
#include "report.h"

int canvas_create(struct canvas *canvas, int width, int height)
{
    size_t size = (size_t)width * (size_t)height * 3;
    canvas->width = width;
    canvas->height = height;
    canvas->pixels = malloc(size);
    if (!canvas->pixels) {
        return fail_memory("the picture", size);
    }
    memset(canvas->pixels, 0xff, size);
    return TOOL_OK;
}

void canvas_destroy(struct canvas *canvas)
{
    free(canvas->pixels);
    canvas->pixels = NULL;
}

void canvas_rectangle(struct canvas *canvas, int x, int y, int width, int height,
                      struct colour colour)
{
    int left = x < 0 ? 0 : x;
    int top = y < 0 ? 0 : y;
    int right = x + width > canvas->width ? canvas->width : x + width;
    int bottom = y + height > canvas->height ? canvas->height : y + height;
    for (int row = top; row < bottom; row++) {
        for (int column = left; column < right; column++) {
            uint8_t *pixel =
                canvas->pixels + ((size_t)row * (size_t)canvas->width + (size_t)column) * 3;
            pixel[0] = colour.red;
            pixel[1] = colour.green;
            pixel[2] = colour.blue;
        }
    }
}

void canvas_frame(struct canvas *canvas, int x, int y, int width, int height, struct colour colour)
{
    canvas_rectangle(canvas, x - 1, y - 1, width + 2, 1, colour);
    canvas_rectangle(canvas, x - 1, y + height, width + 2, 1, colour);
    canvas_rectangle(canvas, x - 1, y - 1, 1, height + 2, colour);
    canvas_rectangle(canvas, x + width, y - 1, 1, height + 2, colour);
}

int canvas_text_width(const char *text, int scale)
{
    return (int)strlen(text) * FONT_ADVANCE * scale;
}

/* `up`: the text's x axis goes up the picture and its y axis to the right. */
static void draw_text(struct canvas *canvas, int x, int y, int scale, const char *text,
                      struct colour colour, int up)
{
    for (int i = 0; text[i]; i++) {
        const uint8_t *glyph = font_glyph(text[i]);
        for (int bit = 0; bit < FONT_WIDTH * FONT_HEIGHT; bit++) {
            int column = bit % FONT_WIDTH;
            int row = bit / FONT_WIDTH;
            if (!(glyph[row] >> (FONT_WIDTH - 1 - column) & 1)) {
                continue;
            }
            int along = (i * FONT_ADVANCE + column) * scale;
            int across = row * scale;
            if (up) {
                canvas_rectangle(canvas, x + across, y - along - scale, scale, scale, colour);
            } else {
                canvas_rectangle(canvas, x + along, y + across, scale, scale, colour);
            }
        }
    }
}

void canvas_text(struct canvas *canvas, int x, int y, int scale, const char *text,
                 struct colour colour)
{
    draw_text(canvas, x, y, scale, text, colour, 0);
}

void canvas_text_up(struct canvas *canvas, int x, int y, int scale, const char *text,
                    struct colour colour)
{
    draw_text(canvas, x, y, scale, text, colour, 1);
}
