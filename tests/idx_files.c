#include "tests/idx_files.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

static size_t head(uint8_t *bytes, int dims, int count)
{
    const uint32_t sizes[] = {0x800u + (uint32_t)dims, (uint32_t)count, 28, 28};
    for (int i = 0; i <= dims; i++)
        for (int k = 0; k < 4; k++)
            bytes[4 * i + k] = (uint8_t)(sizes[i] >> (24 - 8 * k));
    return 4 + 4 * (size_t)dims;
}

size_t idx_images(uint8_t *bytes, int count)
{
    size_t size = head(bytes, 3, count);
    for (int i = 0; i < count; i++)
        for (int p = 0; p < IDX_IMAGE; p++)
            bytes[size++] = (uint8_t)(7 * i + p / 3);
    return size;
}

size_t idx_labels(uint8_t *bytes, int count)
{
    size_t size = head(bytes, 1, count);
    for (int i = 0; i < count; i++)
        bytes[size++] = (uint8_t)(3 * i % 10);
    return size;
}

size_t idx_pack(uint8_t *bytes, size_t size)
{
    uint8_t *packed = xcalloc(1, IDX_FILE_MOST);
    z_stream z = {
        .next_in = bytes, .avail_in = (uInt)size, .next_out = packed, .avail_out = IDX_FILE_MOST};
    if (deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    size = z.total_out;
    deflateEnd(&z);
    memcpy(bytes, packed, size);
    xfree(packed);
    return size;
}
