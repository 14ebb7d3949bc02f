#include "data_loader/samples.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/kinds.h"
#include "data_loader/thread_pool.h"

struct reading {
    const struct dataset *d;
    struct sample *samples;
    const struct levels *levels;
    uint8_t *scratch; /* [hands][size] */
    float *out;
    int64_t size; /* of a sample */
};

void unread_open(struct unread *u)
{
    u->line = NULL;
    pthread_mutex_init(&u->lock, NULL);
}

void unread_close(struct unread *u)
{
    pthread_mutex_destroy(&u->lock);
    xfree(u->line);
}

void unread_note(struct unread *u, const char *format, ...)
{
    pthread_mutex_lock(&u->lock);
    if (!u->line) {
        va_list list;
        u->line = xcalloc(FATAL_LINE, 1);
        va_start(list, format);
        vsnprintf(u->line, FATAL_LINE, format, list);
        va_end(list);
    }
    pthread_mutex_unlock(&u->lock);
}

const char *unread_line(struct unread *u)
{
    pthread_mutex_lock(&u->lock);
    const char *line = u->line;
    pthread_mutex_unlock(&u->lock);
    return line;
}

bool *samples_draw_limit(int64_t count, int64_t limit)
{
    if (limit <= 0 || limit >= count)
        return NULL;
    int32_t *order = xcalloc((size_t)count, sizeof *order);
    bool *stays = xcalloc((size_t)count, sizeof *stays);
    struct random r = random_at(RANDOM_HOLD_OUT, 1, 0, 0, 0);
    for (int64_t i = 0; i < count; i++)
        order[i] = (int32_t)i;
    random_shuffle(&r, order, count);
    for (int64_t i = 0; i < limit; i++)
        stays[order[i]] = true;
    xfree(order);
    return stays;
}

void samples_check(const struct dataset *d)
{
    const char *line = d->kind && d->kind->unread ? d->kind->unread(d) : NULL;
    if (line)
        die(EXIT_USER, "%s", line);
}

size_t samples_scratch(const struct dataset *d)
{
    size_t hands = d->pool ? (size_t)thread_pool_threads(d->pool) : 1;
    return d->pixels ? 0 : hands * (size_t)d->channels * (size_t)d->height * (size_t)d->width;
}

static void read_one(void *of, int64_t i, int hand)
{
    const struct reading *r = of;
    struct sample *s = &r->samples[i];
    uint8_t *scratch = r->scratch ? r->scratch + hand * r->size : NULL;
    const uint8_t *image = dataset_image(r->d, s->number, s->draws ? &s->draw : NULL, scratch);
    image_convert(r->out + i * r->size, r->d, image, s->how, r->levels);
}

void samples_read(const struct dataset *d, struct sample *samples, int64_t count,
                  const struct levels *levels, uint8_t *scratch, float *out)
{
    struct reading r = {d,       samples, levels,
                        scratch, out,     (int64_t)d->channels * d->height * d->width};
    if (d->pool && !d->pixels) {
        thread_pool_run(d->pool, count, read_one, &r);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        read_one(&r, i, 0);
}
