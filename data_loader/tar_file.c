/* Archives of tar (POSIX ustar and pax, GNU's long names): where the images and labels lie. Their
 * contents are not copied: an image is a piece of the archive. WebDataset's rule: files of one
 * sample share the name up to the first dot of its last part, and lie together. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/bundle.h"

enum { BLOCK = 512, NAME = 4096, MOST_LABEL = (1 << 24) - 1 };

struct archive {
    const char *path;
    int file;
    int64_t bytes, at;
    char name[NAME];      /* of the entry that comes; "": its header says */
    char key[NAME];       /* of the sample that is under way; "": none */
    int64_t offset, size; /* of its image; size -1: none yet */
    int64_t label;        /* -1: none yet */
};

static _Noreturn void refuse(const struct archive *a, const char *what)
{
    fatal("%s, at byte %lld: %s; copy the archive anew, or make it by `nbsgd pack`", a->path,
          (long long)a->at, what);
}

/* Octal digits, or GNU's big-endian bytes behind 0x80; -1: neither. */
static int64_t number(const uint8_t *field, int size)
{
    int64_t value = 0;
    if (field[0] == 0x80) {
        for (int i = 1; i < size; i++) {
            if (value >> 54)
                return -1;
            value = value << 8 | field[i];
        }
        return value;
    }
    int i = 0;
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value >> 59)
            return -1;
        value = value << 3 | (field[i] - '0');
    }
    return i == size || !field[i] || field[i] == ' ' ? value : -1;
}

static bool sums_up(const uint8_t *block)
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    return number(block + 148, 8) == sum;
}

static bool is_zero(const uint8_t *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* "LENGTH path=NAME\n" of a pax header, into a->name; other records are passed over. */
static void take_pax(struct archive *a, const char *text, int64_t bytes)
{
    for (int64_t at = 0; at < bytes;) {
        char *end;
        errno = 0;
        long long length = strtoll(text + at, &end, 10);
        int64_t head = end - (text + at) + 1;
        if (errno || *end != ' ' || length <= head || length > bytes - at)
            refuse(a, "a pax header that is damaged");
        int64_t value = length - head - 1;
        const char *record = text + at + head;
        if (value > 5 && !strncmp(record, "path=", 5) && value - 5 < NAME) {
            memcpy(a->name, record + 5, (size_t)(value - 5));
            a->name[value - 5] = 0;
        }
        if (value > 5 && !strncmp(record, "size=", 5))
            refuse(a, "a file of more than 8 GiB");
        at += length;
    }
}

/* The text of a special entry: a long name or a pax header. */
static void take_special(struct archive *a, char type, int64_t size)
{
    enum { MOST = 1 << 16 };
    if (size > MOST)
        refuse(a, "a header of more than 64 KiB");
    char *text = xcalloc((size_t)size + 1, 1);
    if (!bundle_bytes(a->file, a->at + BLOCK, text, (size_t)size))
        refuse(a, "it cannot be read");
    if (type == 'L')
        snprintf(a->name, NAME, "%.4000s", text);
    else if (type == 'x')
        take_pax(a, text, size);
    xfree(text);
}

/* The sample under way is complete: it goes into the list. */
static void end_sample(struct archive *a, struct bundle_list *l, int32_t file)
{
    if (*a->key && a->size >= 0) {
        if (a->label < 0)
            fatal("%s: the image %.300s has no label beside it (%.300s.cls)", a->path, a->key,
                  a->key);
        bundle_add(l, &(struct bundle_image){.offset = a->offset,
                                             .bytes = (int32_t)a->size,
                                             .label = (int32_t)a->label,
                                             .file = file});
        if (a->label >= l->classes)
            l->classes = (int)a->label + 1;
    }
    *a->key = 0;
    a->size = a->label = -1;
}

static void take_label(struct archive *a, int64_t size)
{
    char text[24] = "", *end;
    if (size > 20 || !bundle_bytes(a->file, a->at + BLOCK, text, (size_t)size))
        refuse(a, "a label of more than 20 bytes");
    errno = 0;
    long long label = strtoll(text, &end, 10);
    while (*end == '\n' || *end == '\r' || *end == ' ')
        end++;
    if (errno || end == text || *end || label < 0 || label > MOST_LABEL)
        refuse(a, "a label that is no number from 0 to 16777215");
    a->label = label;
}

static bool is_image(const char *ending)
{
    return !strcasecmp(ending, "jpg") || !strcasecmp(ending, "jpeg") || !strcasecmp(ending, "png");
}

static void take_file(struct archive *a, struct bundle_list *l, int32_t file, const char *name,
                      int64_t size)
{
    const char *last = strrchr(name, '/'), *dot = strchr(last ? last + 1 : name, '.');
    if (!dot || dot == (last ? last + 1 : name))
        return;
    size_t length = (size_t)(dot - name);
    if (strncmp(a->key, name, length) || a->key[length]) {
        end_sample(a, l, file);
        memcpy(a->key, name, length);
        a->key[length] = 0;
    }
    if (!strcmp(dot, ".cls")) {
        take_label(a, size);
    } else if (is_image(dot + 1)) {
        if (a->size >= 0)
            fatal("%s: the sample %.300s has two images", a->path, a->key);
        if (size > INT32_MAX)
            refuse(a, "an image of more than 2 GiB");
        a->offset = a->at + BLOCK;
        a->size = size;
    }
}

static void take_entry(struct archive *a, struct bundle_list *l, int32_t file, const uint8_t *block)
{
    char name[NAME];
    int64_t size = number(block + 124, 12);
    char type = (char)block[156];
    if (size < 0 || size > a->bytes - a->at - BLOCK)
        refuse(a, "it is truncated, or this header damaged: a file reaches beyond the end");
    if (type == 'L' || type == 'x') {
        take_special(a, type, size);
    } else {
        bool prefix = !memcmp(block + 257, "ustar", 6) && block[345];
        if (*a->name)
            strcpy(name, a->name);
        else
            snprintf(name, sizeof name, "%.*s%s%.*s", prefix ? 155 : 0, block + 345,
                     prefix ? "/" : "", 100, block);
        *a->name = 0;
        if (type == '0' || !type)
            take_file(a, l, file, name, size);
    }
    a->at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
}

void tar_read(struct bundle_list *l, const char *path, int32_t file)
{
    uint8_t block[BLOCK];
    struct stat s;
    struct archive *a = xcalloc(1, sizeof *a);
    a->path = path;
    a->size = a->label = -1;
    a->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (a->file < 0 || fstat(a->file, &s) || !S_ISREG(s.st_mode))
        fatal("%s: it cannot be read: %s", path, a->file < 0 ? strerror(errno) : "no plain file");
    a->bytes = s.st_size;
    bool ended = false;
    while (!ended) {
        if (a->at + BLOCK > a->bytes || !bundle_bytes(a->file, a->at, block, BLOCK))
            refuse(a, "it is truncated: the archive's end is missing");
        ended = is_zero(block);
        if (!ended && !sums_up(block))
            refuse(a, "a header that is damaged, or no tar archive");
        if (!ended)
            take_entry(a, l, file, block);
    }
    end_sample(a, l, file);
    close(a->file);
    xfree(a);
}
