#include "tests/image_files.h"

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

/* Waves and an edge: what an encoder keeps. */
static uint8_t shape(int x, int y, int c)
{
    double wave = 90 * sin(0.13 * x + 0.07 * y + c) + 30 * cos(0.31 * y - 0.2 * x * c);
    return (uint8_t)(128 + wave + ((x / 16 + y / 8 + c) % 3 - 1) * 7);
}

static void write_orientation(struct jpeg_compress_struct *jpeg, int orientation)
{
    uint8_t exif[] = {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
                      1,   18,  0,   3,   0, 0, 0,   1,   0, 0,  0, 0, 0, 0, 0, 0};
    exif[25] = (uint8_t)orientation;
    jpeg_write_marker(jpeg, JPEG_APP0 + 1, exif, sizeof exif);
}

struct file_bytes image_file_jpeg(const struct jpeg_file *f)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long count = 0;
    static const J_COLOR_SPACE in[] = {JCS_GRAYSCALE, JCS_RGB, JCS_RGB, JCS_CMYK, JCS_CMYK},
                               as[] = {JCS_GRAYSCALE, JCS_YCbCr, JCS_RGB, JCS_CMYK, JCS_YCCK};
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &count);
    jpeg.image_width = (JDIMENSION)f->width;
    jpeg.image_height = (JDIMENSION)f->height;
    jpeg.input_components = f->colours == JPEG_GREY ? 1 : f->colours < JPEG_CMYK ? 3 : 4;
    jpeg.in_color_space = in[f->colours];
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, as[f->colours]);
    jpeg_set_quality(&jpeg, 90, TRUE);
    jpeg.comp_info[0].h_samp_factor = f->across ? f->across : 1;
    jpeg.comp_info[0].v_samp_factor = f->down ? f->down : 1;
    if (f->colours == JPEG_YCCK)
        jpeg.comp_info[3] = (jpeg_component_info){.component_id = 4,
                                                  .component_index = 3,
                                                  .h_samp_factor = f->across ? f->across : 1,
                                                  .v_samp_factor = f->down ? f->down : 1};
    jpeg.arith_code = f->arithmetic;
    if (f->progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    if (f->orientation)
        write_orientation(&jpeg, f->orientation);
    uint8_t *row = malloc((size_t)f->width * 4);
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++)
            for (int c = 0, n = jpeg.input_components; c < n; c++)
                row[x * n + c] = f->constant ? f->constant[c]
                                 : f->slope  ? (uint8_t)(x * 255 / f->width)
                                             : shape(x, y, c);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    free(row);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (struct file_bytes){bytes, count};
}

int image_file_sample(int x, int y, int depth)
{
    unsigned mixed = (unsigned)x * 2654435761u ^ (unsigned)y * 40503u * 65539u;
    return (int)(mixed >> 16 & ((1u << depth) - 1));
}

static void append(png_structp png, png_bytep bytes, size_t count)
{
    struct file_bytes *to = png_get_io_ptr(png);
    to->bytes = realloc(to->bytes, to->count + count);
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

static void nothing(png_structp png)
{
    (void)png;
}

static void fill_row(uint8_t *row, size_t size, int samples, int y, int depth)
{
    memset(row, 0, size);
    for (int x = 0; x < samples; x++) {
        int sample = image_file_sample(x, y, depth);
        if (depth == 16) {
            row[2 * x] = (uint8_t)(sample >> 8);
            row[2 * x + 1] = (uint8_t)sample;
        } else {
            row[x * depth / 8] |= (uint8_t)(sample << (8 - depth - x * depth % 8));
        }
    }
}

struct file_bytes image_file_png(const struct png_file *f)
{
    struct file_bytes to = {NULL, 0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert(info);
    png_set_write_fn(png, &to, append, nothing);
    png_set_IHDR(png, info, (png_uint_32)f->width, (png_uint_32)f->height, f->depth, f->type,
                 f->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_color palette[256];
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(uint8_t)i, (uint8_t)(255 - i), 7};
    if (f->type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << f->depth);
    png_write_info(png, info);
    int samples = f->width * png_get_channels(png, info);
    size_t size = (size_t)samples * 2 + 1;
    uint8_t *row = malloc(size);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < f->height; y++) {
            fill_row(row, size, samples, y, f->depth);
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    return to;
}

void image_file_save(const char *path, const struct file_bytes *f)
{
    FILE *file = fopen(path, "wb");
    assert(file);
    size_t wrote = fwrite(f->bytes, 1, f->count, file);
    int closed = fclose(file);
    assert(wrote == f->count && !closed);
    (void)wrote, (void)closed;
}
