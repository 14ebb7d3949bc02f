#include "tests/gossip.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { W = PLAIN_WORKERS, N = PLAIN_FLOATS };
typedef double vectors[W][N];

struct state {
    const struct plain_run *r;
    struct stream *stream[W];
    int64_t computed[W], version;
    vectors x, z, g, y, y_before, sent;
    double weight[W], sent_weight[W], w[W][W]; /* w: this step's, [to][from] */
};

static struct state *begin(const struct plain_run *r)
{
    struct state *s = xcalloc(1, sizeof *s);
    float first[N];
    CHECK(r->problem->count == N && topology_nodes(r->graph) == W, "another problem, or graph");
    s->r = r;
    r->problem->kind->initialise(r->problem, first);
    for (int i = 0; i < W; i++) {
        s->stream[i] = r->problem->kind->stream_open(r->problem, i, W);
        s->weight[i] = 1;
        for (int k = 0; k < N; k++)
            s->x[i][k] = s->z[i][k] = first[k];
    }
    return s;
}

static void end(struct state *s, float *mean)
{
    for (int k = 0; k < N; k++) {
        double sum = 0;
        for (int i = 0; i < W; i++)
            sum += s->z[i][k];
        mean[k] = (float)(sum / W);
    }
    for (int i = 0; i < W; i++)
        s->r->problem->kind->stream_close(s->r->problem, s->stream[i]);
    xfree(s);
}

static void load_weights(struct state *s, int64_t step)
{
    struct neighbour list[W];
    memset(s->w, 0, sizeof s->w);
    for (int i = 0; i < W; i++)
        for (int j = topology_sources(s->r->graph, step, i, list) - 1; j >= 0; j--)
            s->w[i][list[j].node] = list[j].weight;
}

/* g = the mean gradient of that many mini-batches of worker i's, at v. */
static void gradient(struct state *s, int i, const double *v, int minibatches)
{
    float at[N], g[N];
    for (int k = 0; k < N; k++) {
        at[k] = (float)v[k];
        s->g[i][k] = 0;
    }
    for (int m = 0; m < minibatches; m++) {
        struct loss loss = {0};
        s->r->problem->kind->gradient(s->r->problem, s->stream[i], s->computed[i]++,
                                      (struct weights){at, (uint64_t)++s->version}, g, &loss, NULL,
                                      NULL);
        for (int k = 0; k < N; k++)
            s->g[i][k] += (double)g[k] / minibatches;
    }
}

/* to = sum_j W_ij from_j */
static void mix(struct state *s, vectors to, vectors from)
{
    memset(to, 0, sizeof(vectors));
    for (int i = 0; i < W; i++)
        for (int j = 0; j < W; j++)
            for (int k = 0; k < N; k++)
                to[i][k] += s->w[i][j] * from[j][k];
}

static void debias(struct state *s)
{
    for (int i = 0; i < W; i++)
        for (int k = 0; k < N; k++)
            s->z[i][k] = s->x[i][k] / s->weight[i];
}

static void step(struct state *s)
{
    for (int i = 0; i < W; i++) {
        gradient(s, i, s->z[i], s->r->minibatches);
        for (int k = 0; k < N; k++)
            s->x[i][k] -= s->r->lr * s->g[i][k];
    }
}

void plain_sgp(const struct plain_run *r, float *mean)
{
    struct state *s = begin(r);
    for (int t = 0; t < r->updates; t++) {
        double before[W];
        load_weights(s, t);
        step(s);
        memcpy(s->y, s->x, sizeof s->y);
        mix(s, s->x, s->y);
        memcpy(before, s->weight, sizeof before);
        memset(s->weight, 0, sizeof s->weight);
        for (int i = 0; i < W; i++)
            for (int j = 0; j < W; j++)
                s->weight[i] += s->w[i][j] * before[j];
        debias(s);
    }
    end(s, mean);
}

/* What was sent when W was s->w comes. */
static void receive(struct state *s)
{
    for (int i = 0; i < W; i++)
        for (int j = 0; j < W; j++) {
            if (i == j)
                continue;
            s->weight[i] += s->w[i][j] * s->sent_weight[j];
            for (int k = 0; k < N; k++)
                s->x[i][k] += s->w[i][j] * s->sent[j][k];
        }
}

void plain_osgp(const struct plain_run *r, float *mean)
{
    struct state *s = begin(r);
    for (int t = 0; t < r->updates; t++) {
        step(s);
        if (t % r->overlap == 0) {
            if (t > 0)
                receive(s);
            load_weights(s, t / r->overlap);
            memcpy(s->sent, s->x, sizeof s->sent);
            memcpy(s->sent_weight, s->weight, sizeof s->weight);
            for (int i = 0; i < W; i++) {
                s->weight[i] *= s->w[i][i];
                for (int k = 0; k < N; k++)
                    s->x[i][k] *= s->w[i][i];
            }
        }
        debias(s);
    }
    end(s, mean);
}

void plain_dsgt(const struct plain_run *r, float *mean)
{
    struct state *s = begin(r);
    for (int t = 0; t < r->updates; t++) {
        load_weights(s, t);
        memcpy(s->y_before, s->g, sizeof s->g); /* the gradients before */
        for (int i = 0; i < W; i++) {
            gradient(s, i, s->z[i], r->minibatches);
            for (int k = 0; k < N; k++) {
                s->y[i][k] += s->g[i][k] - s->y_before[i][k];
                s->x[i][k] = s->z[i][k] - r->lr * s->y[i][k];
            }
        }
        mix(s, s->z, s->x);
        memcpy(s->sent, s->y, sizeof s->y);
        mix(s, s->y, s->sent);
    }
    end(s, mean);
}

void plain_dinno(const struct plain_run *r, float *mean)
{
    struct state *s = begin(r);
    double rho = r->rho;
    for (int t = 0; t < r->updates; t++) {
        load_weights(s, t);
        rho *= r->growth;
        memcpy(s->x, s->z, sizeof s->x); /* those of the round's begin; y: duals */
        for (int i = 0; i < W; i++)
            for (int j = 0; j < W; j++)
                for (int k = 0; k < N && s->w[i][j] != 0 && i != j; k++)
                    s->y[i][k] += rho * (s->x[i][k] - s->x[j][k]);
        for (int i = 0; i < W; i++)
            for (int m = 0; m < r->minibatches; m++) {
                gradient(s, i, s->z[i], 1);
                for (int k = 0; k < N; k++) {
                    double d = s->g[i][k] + s->y[i][k];
                    for (int j = 0; j < W; j++)
                        if (s->w[i][j] != 0 && i != j)
                            d += 2 * rho * (s->z[i][k] - (s->x[i][k] + s->x[j][k]) / 2);
                    s->sent[i][k] = d;
                }
                for (int k = 0; k < N; k++)
                    s->z[i][k] -= r->lr * s->sent[i][k];
            }
    }
    end(s, mean);
}
