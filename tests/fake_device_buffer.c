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

struct twin {
    float *there;
    struct copy copy[MOST];
    int copies, done;
};

static int open, opened, early;

int here_open(void)
{
    return open;
}

int here_opened(void)
{
    return opened;
}

int here_early(void)
{
    return early;
}

static void name(int number, char *text, size_t size)
{
    snprintf(text, size, "memory %d", number);
}

static struct twin *twin_open(int number, int64_t count)
{
    struct twin *t = xcalloc(1, sizeof *t);
    (void)number;
    t->there = xcalloc((size_t)count, sizeof *t->there);
    memset(t->there, 0xff, (size_t)count * sizeof *t->there);
    open++;
    opened++;
    return t;
}

static void twin_close(struct twin *t)
{
    early += t->done < t->copies;
    xfree(t->there);
    xfree(t);
    open--;
}

static float *there(struct twin *t)
{
    return t->there;
}

static void *queue(struct twin *t)
{
    return t;
}

static void put(struct twin *t, const struct copy *c)
{
    early += t->done < t->copies && t->copy[t->copies - 1].up != c->up;
    if (t->done == t->copies)
        t->done = t->copies = 0;
    t->copy[t->copies++ % MOST] = *c;
}

static void up(struct twin *t, const float *vector, int64_t from, int64_t count)
{
    put(t, &(struct copy){t->there + from, vector + from, count, true});
}

static void down(struct twin *t, float *vector, int64_t from, int64_t count)
{
    put(t, &(struct copy){vector + from, t->there + from, count, false});
}

static bool reached(struct twin *t)
{
    if (t->done == t->copies)
        return true;
    const struct copy *c = &t->copy[t->done++];
    memcpy(c->to, c->from, (size_t)c->count * sizeof *c->to);
    return false;
}

const struct twin_kind here_twin = {name, twin_open, twin_close, there, queue, up, down, reached};
