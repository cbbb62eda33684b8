/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CANVAS_H
#define BENCH_CANVAS_H

#include <stdint.h>

#include "outfile.h"

struct colour {
    uint8_t red, green, blue;
};

/* A picture of 8-bit RGB; x goes right and y down. What falls outside is cut off. */
struct canvas {
    int width, height;
    uint8_t *pixels;
};

/* A white picture. Prints what went wrong and returns the exit status. */
int canvas_create(struct canvas *canvas, int width, int height);
void canvas_destroy(struct canvas *canvas);

void canvas_rectangle(struct canvas *canvas, int x, int y, int width, int height,
                      struct colour colour);

/* The outline around a rectangle, one pixel outside of it. */
void canvas_frame(struct canvas *canvas, int x, int y, int width, int height, struct colour colour);

/* Text whose upper left corner is (x, y), each pixel of the font `scale` wide and high. */
void canvas_text(struct canvas *canvas, int x, int y, int scale, const char *text,
                 struct colour colour);

/* The same going up, its lower left corner, where it starts, at (x, y). */
void canvas_text_up(struct canvas *canvas, int x, int y, int scale, const char *text,
                    struct colour colour);

int canvas_text_width(const char *text, int scale);

/* Writes the picture as PNG. Prints what went wrong and returns the exit status. */
int canvas_write_png(const struct canvas *canvas, struct outfile *file);

#endif
