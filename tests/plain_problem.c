#include "tests/plain_problem.h"

#include <string.h>

#include "base/alloc.h"

void plain_initialise(struct problem *p, float *w)
{
    memset(w, 0, (size_t)p->count * sizeof *w);
}

struct stream *plain_stream_open(struct problem *p, int worker, int workers)
{
    struct stream *s = xcalloc(1, sizeof *s);
    (void)p, (void)workers;
    s->worker = worker;
    return s;
}

void plain_stream_close(struct problem *p, struct stream *s)
{
    (void)p;
    xfree(s);
}

double plain_stream_wait_s(const struct stream *s)
{
    (void)s;
    return 0;
}

double plain_step_share(const struct problem *p, int step)
{
    (void)step;
    return 1.0 / p->steps;
}

int64_t plain_final_from(const struct problem *p, int step)
{
    return step < p->steps / 2 ? p->count : p->count * (p->steps - 1 - step) / (p->steps / 2);
}

void plain_statistics(struct problem *p, struct weights w, int shard, int shards, double *sums,
                      void (*progress)(void *), void *self)
{
    (void)p, (void)w, (void)shard, (void)shards, (void)sums, (void)progress, (void)self;
}

void plain_finish_statistics(const struct problem *p, const double *sums, float *statistics)
{
    (void)p, (void)sums, (void)statistics;
}
