/* The greatest eigenvalue beside that of the constant vector, of operators that are given by what
 * they do to a vector. Lanczos with full reorthogonalisation (Golub, Van Loan, 10.3); the constant
 * vector is taken out of each vector, so it is never found. */
#include "topology/spectrum.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

enum { STEADY = 8, BISECTIONS = 80 };
static const double rounding = 1e-13;

struct operator
{
    void (*apply)(const void *self, const double *x, double *y); /* symmetric */
    const void *self;
    int nodes;
};

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add(double *to, double scale, const double *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] += scale * from[i];
}

static void take_mean_out(double *x, int n)
{
    double mean = 0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        x[i] -= mean;
}

/* How many eigenvalues of the tridiagonal matrix are less than x (Sturm). */
static int less(const double *a, const double *b, int n, double x)
{
    int count = 0;
    double q = 1;
    for (int i = 0; i < n; i++) {
        q = a[i] - x - (i ? b[i - 1] * b[i - 1] / q : 0);
        if (fabs(q) < 1e-300)
            q = -1e-300;
        count += q < 0;
    }
    return count;
}

static double greatest(const double *a, const double *b, int n)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        double around = (i ? fabs(b[i - 1]) : 0) + (i + 1 < n ? fabs(b[i]) : 0);
        low = fmin(low, a[i] - around);
        high = fmax(high, a[i] + around);
    }
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (less(a, b, n, middle) == n)
            high = middle;
        else
            low = middle;
    }
    return (low + high) / 2;
}

static void begin(double *x, int n)
{
    struct random r = random_at(RANDOM_TOPOLOGY, 0, (uint64_t)n, UINT64_MAX, 0);
    for (int i = 0; i < n; i++)
        x[i] = random_normal(&r);
    take_mean_out(x, n);
    double size = sqrt(dot(x, x, n));
    for (int i = 0; i < n; i++)
        x[i] /= size;
}

/* The next vector of the basis, in place of A times the last one; returns its size before. */
static double orthogonalise(double *y, const double *basis, int vectors, int n)
{
    for (int twice = 0; twice < 2; twice++)
        for (int j = 0; j < vectors; j++) {
            const double *v = basis + (size_t)j * (size_t)n;
            add(y, -dot(y, v, n), v, n);
        }
    take_mean_out(y, n);
    double size = sqrt(dot(y, y, n));
    for (int i = 0; i < n && size > 0; i++)
        y[i] /= size;
    return size;
}

static double lanczos(const struct operator* o)
{
    int n = o->nodes, most = n - 1, steady = 0;
    double found = -INFINITY;
    double *basis = xcalloc((size_t)n * (size_t)n, sizeof *basis);
    double *a = xcalloc((size_t)n, sizeof *a), *b = xcalloc((size_t)n, sizeof *b);
    begin(basis, n);
    for (int k = 0; k < most && steady < STEADY; k++) {
        double *x = basis + (size_t)k * (size_t)n, *y = x + n;
        o->apply(o->self, x, y);
        a[k] = dot(x, y, n);
        b[k] = orthogonalise(y, basis, k + 1, n);
        double now = greatest(a, b, k + 1), size = fmax(fabs(now), 1);
        steady = fabs(now - found) <= rounding * size ? steady + 1 : 0;
        found = now;
        if (b[k] <= rounding * size)
            break;
    }
    xfree(b);
    xfree(a);
    xfree(basis);
    return found;
}

/* --- steps --- */

static void mix(const struct table *t, const double *x, double *y, bool turned)
{
    memset(y, 0, (size_t)t->nodes * sizeof *y);
    for (int i = 0; i < t->nodes; i++)
        for (int k = 0; k < table_count(t, i); k++) {
            const struct neighbour *n = &table_row(t, i)[k];
            if (turned)
                y[n->node] += n->weight * x[i];
            else
                y[i] += n->weight * x[n->node];
        }
}

/* P'P x, where P is the product of one period. */
static void apply_period(const void *self, const double *x, double *y)
{
    const struct spectrum_input *in = self;
    int n = in->nodes;
    double *from = xcalloc(2 * (size_t)n, sizeof *from), *to = from + n, *aside;
    memcpy(from, x, (size_t)n * sizeof *from);
    for (int turn = 0; turn < 2 * in->steps; turn++) {
        bool back = turn >= in->steps;
        mix(&in->sources[back ? 2 * in->steps - 1 - turn : turn], from, to, back);
        aside = from, from = to, to = aside;
    }
    memcpy(y, from, (size_t)n * sizeof *y);
    xfree(from < to ? from : to);
}

/* y += the sum over the steps of scale[s] L_s x, L a matching's Laplacian. */
static void add_matchings(const struct spectrum_input *in, const double *scale, const double *x,
                          double *y)
{
    for (int s = 0; s < in->steps; s++) {
        const struct table *t = &in->sources[s];
        for (int i = 0; i < t->nodes; i++)
            for (int k = 0; k < table_count(t, i); k++)
                y[i] += scale[s] * (x[i] - x[table_row(t, i)[k].node]);
    }
}

/* E[W'W] x = x - 2 a L x + a^2 (L^2 + 2 V) x, where L is the mean Laplacian, and V that with p (1 -
 * p) in place of p: a matching's Laplacian is half its square (Wang et al. 2019,
 * arXiv:1905.09435). */
static void apply_drawn(const void *self, const double *x, double *y)
{
    const struct spectrum_input *in = self;
    int n = in->nodes;
    double a = in->alpha;
    double *l = xcalloc(3 * (size_t)n, sizeof *l), *ll = l + n, *v = ll + n;
    double *spread = xcalloc((size_t)in->steps, sizeof *spread);
    for (int s = 0; s < in->steps; s++)
        spread[s] = in->probability[s] * (1 - in->probability[s]);
    add_matchings(in, in->probability, x, l);
    add_matchings(in, in->probability, l, ll);
    add_matchings(in, spread, x, v);
    for (int i = 0; i < n; i++)
        y[i] = x[i] - 2 * a * l[i] + a * a * (ll[i] + 2 * v[i]);
    xfree(spread);
    xfree(l);
}

double spectrum_step(const struct spectrum_input *in)
{
    const struct operator o = {
        .apply = in->probability ? apply_drawn : apply_period, .self = in, .nodes = in->nodes};
    if (in->nodes == 1)
        return 0;
    double value = fmax(lanczos(&o), 0);
    return value < rounding ? 0 : pow(value, in->probability ? 0.5 : 0.5 / in->steps);
}

/* --- Fiedler --- */

struct laplacian {
    int nodes;
    const struct edge *list;
    int64_t edges;
    const double *weight; /* [edges]; NULL: 1 */
    double above;         /* no eigenvalue is greater */
};

static void apply_laplacian(const struct laplacian *l, const double *x, double *y)
{
    memset(y, 0, (size_t)l->nodes * sizeof *y);
    for (int64_t e = 0; e < l->edges; e++) {
        int i = l->list[e].from, j = l->list[e].to;
        double flow = (l->weight ? l->weight[e] : 1) * (x[i] - x[j]);
        y[i] += flow;
        y[j] -= flow;
    }
}

static void apply_turned(const void *self, const double *x, double *y)
{
    const struct laplacian *l = self;
    apply_laplacian(l, x, y);
    for (int i = 0; i < l->nodes; i++)
        y[i] = l->above * x[i] - y[i];
}

/* x <- the solution of L y = x without its mean, by conjugate gradients, to a few digits. */
static void solve(const struct laplacian *l, double *x)
{
    int n = l->nodes;
    double *y = xcalloc(3 * (size_t)n, sizeof *y), *p = y + n, *q = p + n, was = dot(x, x, n),
           wanted = 1e-12 * was;
    memcpy(p, x, (size_t)n * sizeof *p);
    for (int k = 0; k < 2 * n && was > wanted; k++) {
        apply_laplacian(l, p, q);
        double step = was / dot(p, q, n);
        add(y, step, p, n);
        add(x, -step, q, n);
        double now = dot(x, x, n);
        for (int i = 0; i < n; i++)
            p[i] = x[i] + now / was * p[i];
        was = now;
    }
    memcpy(x, y, (size_t)n * sizeof *x);
    xfree(y);
}

static void turn_to_fiedler(const struct laplacian *l, double *x)
{
    int n = l->nodes;
    for (int k = 0; k < 4; k++) {
        take_mean_out(x, n);
        solve(l, x);
        take_mean_out(x, n);
        double size = sqrt(dot(x, x, n));
        for (int i = 0; i < n; i++)
            x[i] /= size;
    }
}

double spectrum_fiedler_of(int nodes, const struct edge *list, int64_t edges, const double *weight,
                           double *vector)
{
    struct laplacian l = {.nodes = nodes, .list = list, .edges = edges, .weight = weight};
    double *degree = xcalloc((size_t)nodes, sizeof *degree);
    for (int64_t e = 0; e < edges; e++) {
        degree[list[e].from] += weight ? weight[e] : 1;
        degree[list[e].to] += weight ? weight[e] : 1;
    }
    for (int i = 0; i < nodes; i++)
        l.above = fmax(l.above, 2 * degree[i]);
    xfree(degree);
    if (nodes == 1)
        return 0;
    if (vector)
        turn_to_fiedler(&l, vector);
    double value = l.above - lanczos(&(struct operator){apply_turned, &l, nodes});
    return value < 1e-12 * l.above ? 0 : value;
}

double spectrum_fiedler(const struct spectrum_input *in)
{
    struct draft all = draft_open("", in->nodes, false);
    for (int s = 0; s < in->steps; s++)
        for (int i = 0; i < in->nodes; i++)
            for (int k = 0; k < table_count(&in->sources[s], i); k++) {
                int j = table_row(&in->sources[s], i)[k].node;
                if (i < j)
                    draft_edge(&all, i, j);
            }
    draft_sort(&all);
    double value = spectrum_fiedler_of(in->nodes, all.list, all.count, NULL, NULL);
    draft_close(&all);
    return value;
}
