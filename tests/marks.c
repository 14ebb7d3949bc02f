#include "tests/marks.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "tests/plain_problem.h"

static_assert(1 + ORDER_FLOATS + MARK_WORKERS * MARK_BATCHES <= MARK_FLOATS / 2,
              "a half has them all");

struct problem_state {
    struct marks *marks;
    uint64_t seed;
};

int64_t mark_of(int worker, int64_t index, bool mirrored)
{
    int64_t at = 1 + ORDER_FLOATS + worker * MARK_BATCHES + index;
    return mirrored ? MARK_FLOATS - 1 - at : at;
}

static void note(struct marks *m, int worker, int64_t index)
{
    m->computed++;
    m->gap |= index > m->next[worker];
    m->overflow |= index >= MARK_BATCHES;
    if (index >= m->next[worker])
        m->next[worker] = index + 1;
}

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    const struct problem_state *state = p->self;
    struct random r = random_at(RANDOM_TEST, state->seed, (uint64_t)s->worker, (uint64_t)index, 2);
    (void)w;
    note(state->marks, s->worker, index);
    memset(g, 0, (size_t)p->count * sizeof *g);
    for (int i = 0; i <= ORDER_FLOATS; i++)
        g[i] = g[p->count - 1 - i] = i ? (float)random_normal(&r) : -1;
    if (index < MARK_BATCHES)
        g[mark_of(s->worker, index, false)] = g[mark_of(s->worker, index, true)] = -1;
    *loss = (struct loss){.sum = p->minibatch};
    return !hook || hook(self, p->steps - 1, 0);
}

static void evaluate(struct problem *p, struct weights w, const float *unused, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    (void)p, (void)w, (void)unused, (void)progress, (void)self, (void)shards;
    if (shard == 0)
        loss->sum += 1;
}

static void marks_close(struct problem *p)
{
    xfree(p->self);
}

static const struct problem_kind marks_kind = {
    .initialise = plain_initialise,
    .stream_open = plain_stream_open,
    .stream_close = plain_stream_close,
    .stream_wait_s = plain_stream_wait_s,
    .gradient = gradient,
    .step_share = plain_step_share,
    .final_from = plain_final_from,
    .statistics = plain_statistics,
    .evaluate = evaluate,
    .finish_statistics = plain_finish_statistics,
    .close = marks_close,
};

void marks_open(struct problem *p, struct marks *m, uint64_t seed, int minibatch)
{
    struct problem_state *state = xcalloc(1, sizeof *state);
    *m = (struct marks){.computed = 0};
    *state = (struct problem_state){m, seed};
    *p = (struct problem){.kind = &marks_kind,
                          .count = MARK_FLOATS,
                          .training_samples = 10000,
                          .test_samples = 1,
                          .minibatch = minibatch,
                          .steps = PLAIN_STEPS,
                          .self = state};
}
