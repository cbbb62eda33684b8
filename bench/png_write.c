/* SPDX-License-Identifier: Apache-2.0 */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>

#include "canvas.h"
#include "report.h"

/* What libpng hands to its callbacks. */
struct writer {
    struct outfile *file;
    int status;
};

static void write_data(png_structp png, png_bytep data, size_t size)
{
    struct writer *writer = png_get_io_ptr(png);
    writer->status = outfile_write(writer->file, data, size);
    if (writer->status) {
        longjmp(png_jmpbuf(png), 1);
    }
}

/* Nothing: the file is flushed when it is committed. */
static void flush_data(png_structp png)
{
    (void)png;
}

static void on_error(png_structp png, png_const_charp message)
{
    struct writer *writer = png_get_error_ptr(png);
    writer->status = fail(TOOL_USAGE, "%s: cannot be written: %s", writer->file->path, message);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    warn("%s", message);
}

static void write_picture(png_structp png, png_infop info, const struct canvas *canvas,
                          struct writer *writer)
{
    if (setjmp(png_jmpbuf(png))) {
        return; /* the callback that jumped has set the status */
    }
    png_set_write_fn(png, writer, write_data, flush_data);
    png_set_IHDR(png, info, (png_uint_32)canvas->width, (png_uint_32)canvas->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int row = 0; row < canvas->height; row++) {
        png_write_row(png, canvas->pixels + (size_t)row * (size_t)canvas->width * 3);
    }
    png_write_end(png, info);
}

int canvas_write_png(const struct canvas *canvas, struct outfile *file)
{
    struct writer writer = {file, TOOL_OK};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return fail_memory("the PNG writer", 0);
    }
    write_picture(png, info, canvas, &writer);
    png_destroy_write_struct(&png, &info);
    return writer.status;
}
