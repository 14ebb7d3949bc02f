#include "tests/fake_device_buffer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { MOST = 64 };

struct copy {
    float *to;
    const float *from;
    int64_t count;
    bool up;
};

struct device_buffer {
    float *data;
    struct copy copy[MOST];
    int copies, done;
};

static int open, opened, early;

int fake_device_buffers_open(void)
{
    return open;
}

int fake_device_buffers_opened(void)
{
    return opened;
}

int fake_device_buffers_early(void)
{
    return early;
}

static void name(int number, char *text, size_t size)
{
    snprintf(text, size, "memory %d", number);
}

static struct device_buffer *buffer_open(int number, int64_t count)
{
    struct device_buffer *b = xcalloc(1, sizeof *b);
    (void)number;
    b->data = xcalloc((size_t)count, sizeof *b->data);
    memset(b->data, 0xff, (size_t)count * sizeof *b->data);
    open++;
    opened++;
    return b;
}

static void buffer_close(struct device_buffer *b)
{
    early += b->done < b->copies;
    xfree(b->data);
    xfree(b);
    open--;
}

static float *data(struct device_buffer *b)
{
    return b->data;
}

static void *stream(struct device_buffer *b)
{
    return b;
}

static void put(struct device_buffer *b, const struct copy *c)
{
    early += b->done < b->copies && b->copy[b->copies - 1].up != c->up;
    if (b->done == b->copies)
        b->done = b->copies = 0;
    b->copy[b->copies++ % MOST] = *c;
}

static void upload(struct device_buffer *b, const float *vector, int64_t from, int64_t count)
{
    put(b, &(struct copy){b->data + from, vector + from, count, true});
}

static void download(struct device_buffer *b, float *vector, int64_t from, int64_t count)
{
    put(b, &(struct copy){vector + from, b->data + from, count, false});
}

static bool is_done(struct device_buffer *b)
{
    if (b->done == b->copies)
        return true;
    const struct copy *c = &b->copy[b->done++];
    memcpy(c->to, c->from, (size_t)c->count * sizeof *c->to);
    return false;
}

const struct device_buffer_kind fake_device_buffer = {
    .name = name,
    .open = buffer_open,
    .close = buffer_close,
    .data = data,
    .stream = stream,
    .upload = upload,
    .download = download,
    .is_done = is_done,
};
