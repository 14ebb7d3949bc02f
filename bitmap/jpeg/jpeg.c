/* JPEG by libjpeg-turbo: baseline, progressive, arithmetic; grey, YCbCr, RGB, CMYK, YCCK.
 *
 * Reduced images come from its smaller inverse transforms. Rows above the part are passed over
 * without inverse transform and colours, those below it aren't read; columns beside it by whole
 * blocks. So a part costs less than the image, and has the image's own pixels: GUARD pixels around
 * it are decoded with it, which upsampling of colours looks at. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "base/alloc.h"
#include "bitmap/format.h"

enum { MOST_SCANS = 500, GUARD = 4 };

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    char *why; /* of the call under way */
};

static void fail(j_common_ptr c)
{
    struct decoder *d = c->client_data;
    char said[JMSG_LENGTH_MAX];
    c->err->format_message(c, said);
    snprintf(d->why, BITMAP_WHY, "a broken JPEG: %.150s", said);
    longjmp(d->failed, 1);
}

static void say_nothing(j_common_ptr c)
{
    (void)c;
}

/* A few bytes can ask for any number of passes over a large image. */
static void limit_scans(j_common_ptr c)
{
    struct decoder *d = c->client_data;
    if (d->jpeg.input_scan_number <= MOST_SCANS)
        return;
    snprintf(d->why, BITMAP_WHY, "a JPEG of more than %d scans", MOST_SCANS);
    longjmp(d->failed, 1);
}

static boolean out_of_bytes(j_decompress_ptr jpeg)
{
    struct decoder *d = jpeg->client_data;
    snprintf(d->why, BITMAP_WHY, "a truncated JPEG");
    longjmp(d->failed, 1);
    return FALSE;
}

static void *open(void)
{
    struct decoder *d = xcalloc(1, sizeof *d);
    char why[BITMAP_WHY];
    d->why = why;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = fail;
    d->errors.output_message = say_nothing;
    d->jpeg.client_data = d;
    if (setjmp(d->failed)) {
        xfree(d);
        return NULL;
    }
    jpeg_create_decompress(&d->jpeg);
    d->progress.progress_monitor = limit_scans;
    return d;
}

static void close(void *self)
{
    struct decoder *d = self;
    jpeg_destroy_decompress(&d->jpeg);
    xfree(d);
}

/* Is there an end marker? A picture inside the header has one, too: look behind the first scan. */
static bool has_end(const uint8_t *scan, const uint8_t *end)
{
    for (const uint8_t *at = end - 1; at > scan; at--)
        if (at[0] == 0xd9 && at[-1] == 0xff)
            return true;
    return false;
}

static bool begin(void *self, const uint8_t *file, size_t bytes, int *width, int *height, char *why)
{
    struct decoder *d = self;
    j_decompress_ptr jpeg = &d->jpeg;
    d->why = why;
    if (setjmp(d->failed)) {
        jpeg_abort_decompress(jpeg);
        return false;
    }
    jpeg_abort_decompress(jpeg);
    jpeg_mem_src(jpeg, file, bytes);
    jpeg->src->fill_input_buffer = out_of_bytes;
    jpeg->progress = &d->progress;
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components == 2 || jpeg->num_components > 4) {
        snprintf(why, BITMAP_WHY, "a JPEG of %d layers; 1, 3 and 4 can be read",
                 jpeg->num_components);
        return false;
    }
    if (!has_end(jpeg->src->next_input_byte, file + bytes)) {
        snprintf(why, BITMAP_WHY, "a truncated JPEG: it has no end marker");
        return false;
    }
    *width = (int)jpeg->image_width;
    *height = (int)jpeg->image_height;
    return true;
}

static int product_255(int a, int b)
{
    int x = a * b + 128;
    return (x + (x >> 8)) >> 8;
}

/* Four layers as Adobe writes them, the inverse of CMYK, to red, green, blue. */
static void colours(uint8_t *row, int width)
{
    for (int x = 0; x < width; x++, row += 4)
        for (int c = 0, black = row[3]; c < 3; c++)
            row[c] = (uint8_t)(black - product_255(255 - row[c], black));
}

/* What is decoded: the part and a guard around it; then libjpeg-turbo begins it at a block. */
static struct bitmap_box begin_columns(j_decompress_ptr jpeg, struct bitmap_box part)
{
    int width = (int)jpeg->output_width, left = part.left < GUARD ? 0 : part.left - GUARD,
        right = part.left + part.width + GUARD;
    right = right > width ? width : right;
    if (left || right < width) {
        JDIMENSION from = (JDIMENSION)left, count = (JDIMENSION)(right - left);
        jpeg_crop_scanline(jpeg, &from, &count);
        part.left = (int)from;
        part.width = (int)count;
    } else {
        part.left = 0;
        part.width = width;
    }
    return part;
}

static bool decode(void *self, struct bitmap_box part, int reduction, struct bitmap *to, char *why)
{
    struct decoder *d = self;
    j_decompress_ptr jpeg = &d->jpeg;
    d->why = why;
    if (setjmp(d->failed)) {
        jpeg_abort_decompress(jpeg);
        return false;
    }
    bool four = jpeg->num_components == 4;
    jpeg->out_color_space = four ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg->scale_num = 1;
    jpeg->scale_denom = (unsigned)reduction;
    jpeg_start_decompress(jpeg);
    bitmap_reserve(to, begin_columns(jpeg, part));
    if (part.top)
        jpeg_skip_scanlines(jpeg, (JDIMENSION)part.top);
    for (int y = 0; y < part.height; y++) {
        JSAMPROW row = to->pixels + (int64_t)y * to->part.width * 4;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (four)
            colours(row, to->part.width);
    }
    jpeg_abort_decompress(jpeg);
    return true;
}

/* An error here is of memory, or of ours: libjpeg's own way out ends the program. */
static void write_file(const uint8_t *pixels, int width, int height, int quality, uint8_t **file,
                       size_t *bytes)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *held = NULL;
    unsigned long count = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &held, &count);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = 4;
    jpeg.in_color_space = JCS_EXT_RGBX;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    jpeg.optimize_coding = TRUE;
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < height; y++) {
        JSAMPROW row = (JSAMPROW)(pixels + (int64_t)y * width * 4);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *file = held;
    *bytes = count;
}

const struct bitmap_format bitmap_jpeg = {
    .name = "JPEG",
    .signature = "\xff\xd8\xff",
    .signature_bytes = 3,
    .most_reduction = 8,
    .open = open,
    .close = close,
    .begin = begin,
    .decode = decode,
    .write = write_file,
};
