/* Graphs of workers: what every W promises, on every graph and number of nodes; eigenvalues that
 * are known by formula; graphs that are drawn. A failure prints the graph that repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "topology/topology.h"

enum { MOST = 64, DRAWN = 40 };

/* The members' own options, by their presets or as a test wants them. */
struct own {
    double number;
    int64_t attempts;
};
struct matcha_own {
    const char *graph;
    double budget;
};

static const struct own probability = {0.4, 1000}, fiedler = {0.7, 0};
static const struct matcha_own matcha = {"exponential", 0.5};

struct graph {
    const char *name;
    const void *own;
    int least, step,
        local; /* numbers of nodes that fit: least, least + step, ..; step 0: doubled */
};

static const struct graph undirected[] = {
    {"ring", NULL, 1, 1, 1},
    {"one-peer-ring", NULL, 2, 2, 1},
    {"path", NULL, 1, 1, 1},
    {"torus", NULL, 4, 2, 1},
    {"star", NULL, 1, 1, 1},
    {"wheel", NULL, 4, 1, 1},
    {"complete", NULL, 1, 1, 1},
    {"exponential", NULL, 1, 1, 1},
    {"one-peer-exponential", NULL, 1, 0, 1},
    {"alternating-exponential-ring", NULL, 3, 0, 3},
    {"aer", NULL, 1, 0, 1},
    {"erdos-renyi", &probability, 1, 1, 1},
    {"disk", &fiedler, 8, 5, 1},
    {"matcha", &matcha, 2, 3, 1},
};
static const struct graph directed[] = {
    {"directed-ring", NULL, 1, 1, 1},
    {"directed-exponential", NULL, 1, 1, 1},
    {"directed-one-peer-exponential", NULL, 1, 1, 1},
};

static struct topology *open(const struct graph *g, int nodes, const char *mixing, uint64_t seed)
{
    return topology_open(&(struct topology_options){.name = g->name,
                                                    .nodes = nodes,
                                                    .local = g->local,
                                                    .mixing = mixing,
                                                    .seed = seed,
                                                    .own = g->own});
}

static int next(const struct graph *g, int nodes)
{
    return g->step ? nodes + g->step : 2 * nodes;
}

/* W of one step, whole, from its rows and again from its columns. */
struct matrix {
    int nodes;
    double w[MOST][MOST];
};

static void read_matrix(const struct topology *t, int64_t step, bool columns, struct matrix *m)
{
    struct neighbour list[MOST] = {{0}};
    memset(m, 0, sizeof *m);
    m->nodes = topology_nodes(t);
    assert_true(topology_degree(t) <= MOST);
    for (int i = 0; i < m->nodes; i++) {
        int count = (columns ? topology_targets : topology_sources)(t, step, i, list);
        bool itself = false;
        assert_in_range(count, 1, topology_degree(t));
        for (int k = 0; k < count; k++) {
            assert_true(!k || list[k - 1].node < list[k].node);
            itself |= list[k].node == i;
            (*(columns ? &m->w[list[k].node][i] : &m->w[i][list[k].node])) = list[k].weight;
        }
        assert_true(itself);
    }
}

static double row_sum(const struct matrix *m, int i)
{
    double sum = 0;
    for (int j = 0; j < m->nodes; j++)
        sum += m->w[i][j];
    return sum;
}

static double column_sum(const struct matrix *m, int j)
{
    double sum = 0;
    for (int i = 0; i < m->nodes; i++)
        sum += m->w[i][j];
    return sum;
}

static int64_t steps_of(const struct topology *t)
{
    return topology_period(t) ? topology_period(t) : DRAWN;
}

/* --- what every W promises */

static void check_step(const struct topology *t, int64_t step, const char *name, bool rows)
{
    struct matrix m, turned;
    read_matrix(t, step, false, &m);
    read_matrix(t, step, true, &turned);
    for (int i = 0; i < m.nodes; i++) {
        if (fabs(column_sum(&m, i) - 1) > 1e-12 || (rows && fabs(row_sum(&m, i) - 1) > 1e-12))
            fail_msg("%s of %d, step %d: row %d adds to %.17g, column to %.17g", name, m.nodes,
                     (int)step, i, row_sum(&m, i), column_sum(&m, i));
        for (int j = 0; j < m.nodes; j++) {
            if (m.w[i][j] != turned.w[i][j])
                fail_msg("%s of %d: W[%d][%d] by rows %g, by columns %g", name, m.nodes, i, j,
                         m.w[i][j], turned.w[i][j]);
            if (rows && fabs(m.w[i][j] - m.w[j][i]) > 1e-15)
                fail_msg("%s of %d: W[%d][%d] is not symmetric", name, m.nodes, i, j);
        }
    }
}

static void test_weights(void **state)
{
    (void)state;
    const char *const rules[] = {NULL, "metropolis", "max-degree"};
    for (size_t g = 0; g < sizeof undirected / sizeof *undirected; g++)
        for (int nodes = undirected[g].least; nodes <= 33; nodes = next(&undirected[g], nodes))
            for (int rule = 0; rule < 3; rule++) {
                struct topology *t = open(&undirected[g], nodes, rules[rule], 7);
                assert_false(topology_is_directed(t));
                for (int64_t s = 0; s < steps_of(t); s++)
                    check_step(t, s, undirected[g].name, true);
                topology_close(t);
            }
}

static void test_directed_columns(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof directed / sizeof *directed; g++)
        for (int nodes = 1; nodes <= 33; nodes++) {
            struct topology *t = open(&directed[g], nodes, NULL, 1);
            assert_int_equal(topology_is_directed(t), true);
            for (int64_t s = 0; s < steps_of(t); s++)
                check_step(t, s, directed[g].name, false);
            topology_close(t);
        }
}

/* Plain means with the neighbours: rows add to 1; columns do where all have as many. */
static void test_uniform(void **state)
{
    (void)state;
    struct matrix m, turned;
    struct topology *t = open(&undirected[4], 5, "uniform", 1); /* star */
    struct topology_facts f = topology_measure(t);
    read_matrix(t, 0, false, &m);
    for (int i = 0; i < 5; i++)
        assert_float_equal(row_sum(&m, i), 1, 1e-12);
    assert_float_equal(m.w[0][3], 0.2, 1e-12);
    assert_float_equal(m.w[3][0], 0.5, 1e-12);
    assert_false(f.symmetric);
    assert_true(isnan(f.gap));
    read_matrix(t, 0, true, &turned);
    assert_memory_equal(&m, &turned, sizeof m);
    topology_close(t);
}

/* --- what mixing does */

static void mix(const struct topology *t, int64_t step, double *x)
{
    double y[MOST] = {0};
    struct neighbour list[MOST];
    int nodes = topology_nodes(t);
    for (int i = 0; i < nodes; i++) {
        int count = topology_sources(t, step, i, list);
        y[i] = 0;
        for (int k = 0; k < count; k++)
            y[i] += list[k].weight * x[list[k].node];
    }
    memcpy(x, y, (size_t)nodes * sizeof *x);
}

static double distance(const double *x, int nodes) /* to the mean */
{
    double mean = 0, sum = 0;
    for (int i = 0; i < nodes; i++)
        mean += x[i] / nodes;
    for (int i = 0; i < nodes; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum);
}

static double begin(double *x, int nodes)
{
    struct random r = random_at(RANDOM_TEST, 5, (uint64_t)nodes, 0, 0);
    double mean = 0;
    for (int i = 0; i < nodes; i++)
        mean += (x[i] = random_normal(&r)) / nodes;
    return mean;
}

/* The mean stays. The distance to it shrinks by the gap at least, and in the end by no more: what
 * is left then is the slowest part alone. */
static void test_gap(void **state)
{
    (void)state;
    double x[MOST];
    for (size_t g = 0; g < sizeof undirected / sizeof *undirected; g++)
        for (int nodes = undirected[g].least; nodes <= 24; nodes = next(&undirected[g], nodes)) {
            struct topology *t = open(&undirected[g], nodes, NULL, 3);
            double left = 1 - topology_measure(t).gap, mean = begin(x, nodes), now = 0, late = 0;
            int64_t period = topology_period(t), rounds = 60;
            for (int64_t r = 0; period && r < rounds; r++) {
                double before = distance(x, nodes);
                for (int64_t s = 0; s < period; s++)
                    mix(t, r * period + s, x);
                now = distance(x, nodes);
                if (now > before * pow(left, (double)period) + 1e-14)
                    fail_msg("%s of %d: %g left of %g; at most %g", undirected[g].name, nodes, now,
                             before, pow(left, (double)period));
                if (now > 1e-9)
                    late = pow(now / before, 1.0 / (double)period);
            }
            double sum = 0;
            for (int i = 0; i < nodes; i++)
                sum += x[i] / nodes;
            assert_float_equal(sum, mean, 1e-12);
            if (period == 1 && left > 0.6)
                assert_float_equal(late, left, 0.02);
            topology_close(t);
        }
}

/* After one period all have the exact mean. */
static void test_exact(void **state)
{
    (void)state;
    const struct graph graphs[] = {{"hypercube", NULL, 0, 0, 1},
                                   {"aer", NULL, 0, 0, 4},
                                   {"complete", NULL, 0, 0, 1},
                                   {"directed-one-peer-exponential", NULL, 0, 0, 1}};
    double x[MOST];
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++)
        for (int nodes = 4; nodes <= 32; nodes *= 2) {
            struct topology *t = open(&graphs[g], nodes, NULL, 1);
            double mean = begin(x, nodes);
            for (int64_t s = 0; s < topology_period(t); s++)
                mix(t, s, x);
            for (int i = 0; i < nodes; i++)
                assert_float_equal(x[i], mean, 1e-14);
            topology_close(t);
        }
}

/* Of two hosts of four, one step in two uses the network; of four hosts half of the pairs do. */
static void test_alternating(void **state)
{
    (void)state;
    const struct graph aer = {"aer", NULL, 0, 0, 4};
    struct neighbour list[MOST];
    struct topology *t = open(&aer, 16, NULL, 1);
    assert_int_equal(topology_period(t), 4);
    for (int64_t s = 0; s < 4; s++) {
        int away = 0;
        for (int i = 0; i < 16; i++) {
            int count = topology_sources(t, s, i, list);
            bool meets = false;
            for (int k = 0; k < count; k++)
                meets |= list[k].node / 4 != i / 4;
            assert_int_equal(count, meets ? 8 : 4);
            away += meets;
        }
        assert_int_equal(away, 8);
    }
    topology_close(t);
}

/* --- eigenvalues by formula */

static void assert_facts(const char *name, int nodes, double value, double gap, int diameter)
{
    const struct graph g = {name, NULL, 0, 0, 1};
    struct topology *t = open(&g, nodes, NULL, 1);
    struct topology_facts f = topology_measure(t);
    if (fabs(f.fiedler - value) > 1e-9 || fabs(f.gap - gap) > 1e-9 || f.diameter != diameter)
        fail_msg("%s of %d: Fiedler %.12g (wanted %.12g), gap %.12g (%.12g), diameter %d (%d)",
                 name, nodes, f.fiedler, value, f.gap, gap, f.diameter, diameter);
    topology_close(t);
}

static void test_known(void **state)
{
    (void)state;
    for (int n = 3; n <= 60; n += 7) {
        double turn = 2 - 2 * cos(2 * M_PI / n), half = 2 - 2 * cos(M_PI / n);
        /* the eigenvalue of W that is furthest from 0 beside 1 */
        double least = 1 - (2 - 2 * cos(2 * M_PI * (n / 2) / n)) / 3, most = 1 - turn / 3;
        assert_facts("ring", n, turn, 1 - fmax(most, fabs(least)), n / 2);
        assert_facts("path", n, half, half / 3, n - 1);
        assert_facts("complete", n, n, 1, 1);
        assert_facts("star", n, 1, 1.0 / n, 2);
    }
    assert_facts("hypercube", 16, 2, 1, 4);
    assert_facts("wheel", 10, 3 - 2 * cos(2 * M_PI / 9), 0.1 + 0.25 * (2 - 2 * cos(2 * M_PI / 9)),
                 2);
    assert_facts("ring", 2, 2, 1, 1);
    assert_facts("ring", 1, 0, 1, 0);
}

/* --- drawn graphs */

static void test_disk(void **state)
{
    (void)state;
    const double wanted[] = {0.4, 0.7, 2, 5.8};
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            const struct own own = {wanted[k], 0};
            const struct graph g = {"disk", &own, 0, 0, 1};
            struct topology *t = open(&g, 20, NULL, seed);
            assert_float_equal(topology_measure(t).fiedler, wanted[k],
                               fmax(0.01, 0.01 * wanted[k]));
            topology_close(t);
        }
}

/* Another seed, another graph; the same seed, the same one. */
static void test_seeds(void **state)
{
    (void)state;
    const struct graph *drawn[] = {&undirected[11], &undirected[12], &undirected[13]};
    static struct matrix a, b;
    for (int g = 0; g < 3; g++) {
        int other = 0;
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct topology *t = open(drawn[g], 14, NULL, seed),
                            *u = open(drawn[g], 14, NULL, seed),
                            *v = open(drawn[g], 14, NULL, seed + 100);
            for (int64_t s = 0; s < 3; s++) {
                read_matrix(t, s, false, &a);
                read_matrix(u, s, false, &b);
                assert_memory_equal(&a, &b, sizeof a);
                read_matrix(v, s, false, &b);
                other += memcmp(&a, &b, sizeof a) != 0;
            }
            topology_close(t);
            topology_close(u);
            topology_close(v);
        }
        assert_true(other >= 10);
    }
}

/* On average as many edges as the budget allows, and what they leave is less with a greater one.
 * With all of a graph all the time alpha is the best constant weight, 2 / (greatest + least
 * eigenvalue of the Laplacian): of a ring of 8 they are 4 and 2 - sqrt(2). */
static void test_matcha(void **state)
{
    (void)state;
    const double budgets[] = {0.2, 0.5, 1};
    struct neighbour list[MOST];
    double was = 0;
    for (int b = 0; b < 3; b++) {
        const struct matcha_own own = {"exponential", budgets[b]};
        const struct graph g = {"matcha", &own, 0, 0, 1};
        struct topology *t = open(&g, 8, NULL, 1);
        struct topology_facts f = topology_measure(t);
        double sent = 0;
        int steps = 4000;
        for (int64_t s = 0; s < steps; s++)
            for (int i = 0; i < 8; i++)
                sent += (topology_sources(t, s, i, list) - 1) / 8.0 / steps;
        assert_float_equal(sent, f.vectors, 0.05);
        /* 20 edges in matchings of 4 or fewer */
        assert_true(f.vectors > 0.8 * 5 * budgets[b] && f.vectors < 1.2 * 5 * budgets[b]);
        assert_int_equal(topology_period(t), 0);
        assert_true(f.gap > was && f.alpha > 0 && f.alpha < 1);
        was = f.gap;
        topology_close(t);
    }
    const struct matcha_own whole = {"ring", 1};
    const struct graph g = {"matcha", &whole, 0, 0, 1};
    struct topology *t = open(&g, 8, NULL, 1);
    struct topology_facts f = topology_measure(t);
    double least = 2 - sqrt(2), most = 4, alpha = 2 / (least + most);
    assert_float_equal(f.alpha, alpha, 1e-5);
    assert_float_equal(f.gap, 1 - fabs(1 - alpha * least), 1e-5);
    topology_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights), cmocka_unit_test(test_directed_columns),
        cmocka_unit_test(test_uniform), cmocka_unit_test(test_gap),
        cmocka_unit_test(test_exact),   cmocka_unit_test(test_alternating),
        cmocka_unit_test(test_known),   cmocka_unit_test(test_disk),
        cmocka_unit_test(test_seeds),   cmocka_unit_test(test_matcha),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
