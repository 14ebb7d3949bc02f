/* What people give for weights that is none, by its first bytes: what it is, and what to do. */
#include "serialization/safetensors.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONVERT                                                                                    \
    "load it in Python and write it again with safetensors.torch.save_file(model.state_dict(), "   \
    "..)"

static const struct foreign {
    const char *bytes;
    size_t count, at;
    bool is_text; /* in any case, after blanks */
    const char *what;
} kinds[] = {
#define MAGIC(bytes) bytes, sizeof bytes - 1, 0, false
#define TEXT(bytes) bytes, sizeof bytes - 1, 0, true
    {MAGIC("version https://git-lfs"),
     "it is a Git LFS pointer, not the file that it stands for: fetch that with `git lfs pull`"},
    {MAGIC("PK\3\4"), "it is a zip archive, as torch.save() writes (.pth, .pt): " CONVERT},
    {MAGIC("\x80\2"), "it is a pickle of Python (an old .pth): " CONVERT},
    {MAGIC("\x80\3"), "it is a pickle of Python: " CONVERT},
    {MAGIC("\x80\4"), "it is a pickle of Python: " CONVERT},
    {MAGIC("\x80\5"), "it is a pickle of Python: " CONVERT},
    {"ustar", 5, 257, false, "it is a tar archive: unpack it"},
    {MAGIC("\x1f\x8b"), "it is compressed by gzip: unpack it"},
    {MAGIC("BZh"), "it is compressed by bzip2: unpack it"},
    {MAGIC("\xfd"
           "7zXZ"),
     "it is compressed by xz: unpack it"},
    {MAGIC("\x28\xb5\x2f\xfd"), "it is compressed by zstd: unpack it"},
    {MAGIC("\x89HDF"), "it is an HDF5 file, as Keras writes (.h5): convert it"},
    {MAGIC("\x93NUMPY"), "it is an array of NumPy (.npy): convert it"},
    {MAGIC("GGUF"), "it is a GGUF file of quantised weights: take the original ones"},
    {TEXT("<!doctype"), "it is a web page: download the file itself, not the page that shows it"},
    {TEXT("<html"), "it is a web page: download the file itself, not the page that shows it"},
    {TEXT("<?xml"), "it is an XML text, as servers answer who may not download: look into it"},
    {TEXT("{"), "it is a JSON text, as the index of weights in several files: join them into one"},
#undef MAGIC
#undef TEXT
};

static bool begins(const uint8_t *bytes, size_t size, const struct foreign *kind)
{
    size_t at = kind->at;
    while (kind->is_text && at < size && isspace(bytes[at]))
        at++;
    if (at > size || size - at < kind->count)
        return false;
    const char *there = (const char *)bytes + at;
    return kind->is_text ? !strncasecmp(there, kind->bytes, kind->count)
                         : !memcmp(there, kind->bytes, kind->count);
}

/* A length, and what JSON begins with: then it is a safetensors file that is damaged. */
static bool is_safetensors(const uint8_t *bytes, size_t size)
{
    uint64_t header = 0;
    memcpy(&header, bytes, size < LENGTH_BYTES ? size : LENGTH_BYTES);
    return header <= HEADER_MOST &&
           (size <= LENGTH_BYTES || bytes[LENGTH_BYTES] == '{' || isspace(bytes[LENGTH_BYTES]));
}

void safetensors_foreign(const uint8_t *bytes, size_t size, char *why, size_t why_size)
{
    if (is_safetensors(bytes, size))
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(bytes, size, &kinds[i])) {
            snprintf(why, why_size, "%s", kinds[i].what);
            return;
        }
}
