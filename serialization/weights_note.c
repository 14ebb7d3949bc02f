/* The note in the metadata of a safetensors file. It is looked for where the writer puts it, at the
 * header's beginning. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_reader.h"
#include "serialization/safetensors.h"

enum { VALUE = 60, BEGINNING = 4096 };

static bool take_whole(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return end > text && !*end && !errno && *number >= 0;
}

static bool take_percent(const char *text, double *number)
{
    char *end;
    *number = strtod(text, &end);
    return end > text && !*end && isfinite(*number);
}

/* One pair of the metadata; *known counts those of a note. */
static bool read_pair(struct json *j, struct weights_note *note, int *known)
{
    char name[40], value[VALUE];
    if (!json_string(j, name, sizeof name) || !json_expect(j, ':') ||
        !json_string(j, value, sizeof value))
        return false;
    bool taken = true;
    if (!strcmp(name, "samples"))
        taken = take_whole(value, &note->samples);
    else if (!strcmp(name, "updates"))
        taken = take_whole(value, &note->updates);
    else if (!strcmp(name, "top1"))
        taken = take_percent(value, &note->top1);
    else
        return true;
    ++*known;
    return taken;
}

static bool read_note(struct json *j, struct weights_note *note)
{
    char name[16];
    int known = 0;
    if (!json_expect(j, '{') || !json_string(j, name, sizeof name) ||
        strcmp(name, "__metadata__") || !json_expect(j, ':') || !json_expect(j, '{'))
        return false;
    do {
        if (!read_pair(j, note, &known))
            return false;
    } while (json_accept(j, ','));
    return json_expect(j, '}') && known == 3;
}

enum weights_file weights_note_read(const char *path, struct weights_note *note)
{
    uint8_t bytes[LENGTH_BYTES + BEGINNING];
    uint64_t header = 0;
    char why[200];
    struct stat s;
    *note = (struct weights_note){.samples = 0};
    if (stat(path, &s) || (S_ISREG(s.st_mode) && !s.st_size))
        return WEIGHTS_NONE;
    int file = S_ISREG(s.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    ssize_t size = file < 0 ? 0 : read(file, bytes, sizeof bytes);
    if (file >= 0)
        close(file);
    if (size <= LENGTH_BYTES)
        return WEIGHTS_FOREIGN;
    memcpy(&header, bytes, LENGTH_BYTES);
    uint64_t there = (uint64_t)size - LENGTH_BYTES;
    const uint8_t *begin = bytes + LENGTH_BYTES;
    struct json j = {.begin = begin,
                     .at = begin,
                     .end = begin + (header < there ? header : there),
                     .why = why,
                     .why_size = sizeof why};
    struct weights_note found = {.samples = 0};
    if (!read_note(&j, &found))
        return WEIGHTS_FOREIGN;
    *note = found;
    return WEIGHTS_NOTED;
}
