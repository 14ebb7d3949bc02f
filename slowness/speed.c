#include "slowness/speed.h"

#include <assert.h>
#include <math.h>

#include "slowness/reader.h"

static_assert((int)SLOW_WORKERS == (int)RANKS_NAMED, "a reader fills these arrays");

struct slowness slowness_parse(const char *text, int ranks)
{
    struct reader r = {"--slow", "RANK=FACTOR, several: separated by ','; a factor is 1 or more",
                       text, text};
    struct slowness s = {.count = 0};
    s.count = reader_ranks(&r, ranks, 1, s.rank, s.factor);
    return s;
}

double slowness_of(const struct slowness *s, int rank)
{
    for (int i = 0; i < s->count; i++)
        if (s->rank[i] == rank)
            return s->factor[i];
    return 1;
}

struct departures departures_parse(const char *text, int ranks)
{
    struct reader r = {"--depart", "RANK=MINIBATCHES, several: separated by ','", text, text};
    struct departures d = {.count = 0};
    d.count = reader_ranks(&r, ranks, 0, d.rank, d.minibatches);
    return d;
}

double departure_of(const struct departures *d, int rank)
{
    for (int i = 0; i < d->count; i++)
        if (d->rank[i] == rank)
            return d->minibatches[i];
    return INFINITY;
}
