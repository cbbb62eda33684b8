/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MAP_PICTURE_H
#define BENCH_MAP_PICTURE_H

#include "canvas.h"

/* Two attention maps of the same tokens, side by side. */
struct map_picture {
    const float *exact;   /* [tokens, tokens], a row per query */
    const float *monarch; /* the same */
    int64_t tokens;
    const char *title; /* above everything */
    const char *exact_title, *monarch_title;
};

/*
 * Draws the maps with labelled token axes and one logarithmic colour scale over five decades. Up to
 * 1024 tokens each weight is a square of pixels; above, a pixel is the mean of a square of
 * weights. A weight that is not a number is drawn in green. Prints what went wrong and returns
 * the exit status.
 */
int map_picture_draw(const struct map_picture *picture, struct canvas *canvas);

#endif
