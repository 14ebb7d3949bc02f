/* easgd and eamsgd against the two algorithms of their paper, a few lines of this file in double:
 * the elastic force is on the weights, and the gradient is that of the weights before it.
 *
 * The order of requests and pushes is that of a recorded run on the simulated network; each
 * worker's two alternate. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "problem/problem.h"
#include "tests/quadratic.h"

enum { WORKERS = 3, COUNT = 1000, MOST = 4000, STEPS = 3 };
static const double lr = 0.2, beta = 0.6, decay = 0.05;
static const double tolerance = 2e-6; /* of the greatest weight */

struct elastic_worker {
    double x[COUNT], v[COUNT], d[COUNT];
    int64_t t;
    bool pushes; /* it has asked for the centre */
    struct stream *stream;
};

struct elastic {
    struct problem *problem;
    double mu, centre[COUNT];
    struct elastic_worker worker[WORKERS];
};

/* v <- mu v - lr g(before + mu v);  x <- x + v */
static void step(struct elastic *m, struct elastic_worker *k, const double *before)
{
    float ahead[COUNT], g[COUNT];
    struct loss loss = {0};
    struct problem *p = m->problem;
    for (int i = 0; i < COUNT; i++)
        ahead[i] = (float)(before[i] + m->mu * k->v[i]);
    p->kind->gradient(p, k->stream, k->t, (struct weights){ahead, (uint64_t)k->t}, g, &loss, NULL,
                      NULL);
    for (int i = 0; i < COUNT; i++) {
        k->v[i] = m->mu * k->v[i] - lr * (g[i] + decay * ahead[i]);
        k->x[i] += k->v[i];
    }
    k->t++;
}

/* A request, then a push of this worker. */
static void event(struct elastic *m, struct elastic_worker *k)
{
    if (k->pushes) {
        double before[COUNT];
        memcpy(before, k->x, sizeof before);
        for (int i = 0; i < COUNT; i++) {
            k->x[i] -= k->d[i];
            m->centre[i] += k->d[i];
        }
        step(m, k, before);
    } else {
        while (k->t % STEPS || k->t == 0)
            step(m, k, k->x);
        for (int i = 0; i < COUNT; i++)
            k->d[i] = beta / WORKERS * (k->x[i] - m->centre[i]);
    }
    k->pushes = !k->pushes;
}

static void run(struct experiment *e, const char *scheme, double momentum, const char *more)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, lr);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=8");
    add_option(&w, "samples=%d", 8 * STEPS * WORKERS * 15);
    add_option(&w, "local-steps=%d", STEPS);
    add_option(&w, "easgd-beta=%g", beta);
    add_option(&w, "weight-decay=%g", decay);
    add_option(&w, "momentum=%g", momentum);
    add_option(&w, "slow=2=1.7");
    add_option(&w, "delay=exponential:0.05");
    add_option(&w, "%s", more);
    quadratic_run(e, &w);
}

/* The workers of the recorded events. */
static int read_order(const char *path, uint32_t *order)
{
    FILE *f = fopen(path, "rb");
    char line[300];
    int count = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && *line != '\n')
        continue;
    while (count < MOST && fread(order + count, sizeof *order, 1, f) == 1 && order[count] < WORKERS)
        count++;
    fclose(f);
    return count;
}

static double play(const struct experiment *e, double mu, const uint32_t *order, int events)
{
    struct elastic *m = xcalloc(1, sizeof *m);
    double most = 0, difference = 0;
    m->mu = mu;
    m->problem = problem_open(&(struct problem_options){
        .options = &e->options, .minibatch = 8, .threads = 1, .trains = true});
    for (int i = 0; i < WORKERS; i++)
        m->worker[i].stream = m->problem->kind->stream_open(m->problem, i, WORKERS);
    for (int i = 0; i < events; i++)
        event(m, &m->worker[order[i]]);
    for (int i = 0; i < COUNT; i++) {
        most = fmax(most, fabs(m->centre[i]));
        difference = fmax(difference, fabs(m->centre[i] - e->out.w[i]));
    }
    for (int i = 0; i < WORKERS; i++)
        m->problem->kind->stream_close(m->problem, m->worker[i].stream);
    problem_close(m->problem);
    xfree(m);
    return difference / most;
}

static void both_are_their_papers(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        double momentum;
    } cases[] = {{"easgd", 0}, {"eamsgd", 0.8}, {"eamsgd", 0.5}};
    char folder[] = "/tmp/nbsgd-elastic-XXXXXX", path[100], record[110];
    uint32_t order[MOST];
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct experiment e;
        snprintf(record, sizeof record, "record=%s/order", folder);
        snprintf(path, sizeof path, "%s/order.0", folder);
        run(&e, cases[i].scheme, cases[i].momentum, record);
        int events = read_order(path, order);
        assert_true(events > 2 * 40 && e.out.updates >= 45);
        double difference = play(&e, cases[i].momentum, order, events);
        if (!(difference < tolerance))
            fail_msg("%s, momentum %g: the centre ends %g from the paper's", cases[i].scheme,
                     cases[i].momentum, difference);
        experiment_close(&e);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void without_momentum_both_are_one(void **state)
{
    (void)state;
    struct experiment easgd, eamsgd;
    run(&easgd, "easgd", 0, "seed=3");
    run(&eamsgd, "eamsgd", 0, "seed=3");
    assert_memory_equal(easgd.out.w, eamsgd.out.w, COUNT * sizeof(float));
    experiment_close(&easgd);
    experiment_close(&eamsgd);
}

/* The centre comes while the gradient is computed: an exchange takes no time of a worker's own. */
static void nobody_waits_for_the_centre(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "easgd", 0, "sim-latency=0.02");
    for (int i = 0; i < WORKERS; i++)
        assert_true(e.out.worker[i].wait_s < 0.1);
    experiment_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_their_papers),
        cmocka_unit_test(without_momentum_both_are_one),
        cmocka_unit_test(nobody_waits_for_the_centre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
