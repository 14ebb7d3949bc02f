#include "tests/reference_run.h"

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
#include "tests/option_list.h"
#include "tests/plain_problem.h"

enum { MOST_EVENTS = 4000, MINIBATCH = 4 };

/* --- the problem: each mini-batch pulls the weights to a point of its own --- */

static double target(int worker, int64_t index, int i)
{
    return cos(1 + worker + 0.7 * i) + 0.3 * sin(3.1 * (double)index + worker + 2.0 * i);
}

static double slope(int i)
{
    return 0.2 + 0.3 * i;
}

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    for (int i = 0; i < FLOATS; i++)
        g[i] = (float)(slope(i) * (w.w[i] - target(s->worker, index, i)));
    *loss = (struct loss){.sum = p->minibatch};
    return !hook || hook(self, p->steps - 1, 0);
}

/* --- the model --- */

void reference_use(struct reference *m, int64_t d)
{
    m->stale[d < HISTOGRAM ? d : HISTOGRAM - 1]++;
}

void reference_step(struct reference *m, const double *g, double rate)
{
    for (int i = 0; i < FLOATS; i++)
        m->x[i] -= rate * g[i];
    m->version++;
}

void reference_gradient(const struct reference *m, int worker, int64_t index, double *g)
{
    for (int i = 0; i < FLOATS; i++)
        g[i] = slope(i) * (m->at[worker][i] - target(worker, index, i));
}

static void mean_gradient(struct reference *m, int worker, double *g)
{
    double one[FLOATS];
    for (int k = 0; k < m->minibatches; k++) {
        reference_gradient(m, worker, m->index[worker]++, one);
        for (int i = 0; i < FLOATS; i++)
            g[i] += one[i] / m->minibatches;
    }
}

static void local_move(struct reference *m, int worker, double *move)
{
    double start[FLOATS], g[FLOATS];
    memcpy(start, m->at[worker], sizeof start);
    for (int k = 0; k < m->local_steps; k++) {
        reference_gradient(m, worker, m->index[worker]++, g);
        for (int i = 0; i < FLOATS; i++) {
            m->local_v[worker][i] = m->momentum * m->local_v[worker][i] + g[i];
            m->at[worker][i] -= reference_lr * m->local_v[worker][i];
        }
    }
    for (int i = 0; i < FLOATS; i++)
        move[i] = m->at[worker][i] - start[i];
}

void reference_take(struct reference *m, int worker, reference_rule *rule)
{
    double g[FLOATS] = {0};
    (m->local_steps ? local_move : mean_gradient)(m, worker, g);
    m->pushes++;
    rule(m, worker, g, m->version - m->version_at[worker]);
    memcpy(m->at[worker], m->x, sizeof m->x);
    m->version_at[worker] = m->version;
}

/* --- a run, and the same by the model --- */

static char folder[] = "/tmp/nbsgd-async-XXXXXX";
static char order[sizeof folder + 8];

int open_folder(void **state)
{
    (void)state;
    bool opened = mkdtemp(folder);
    snprintf(order, sizeof order, "%s/order", folder);
    return opened ? 0 : -1;
}

int close_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* The workers of the pushes of the record; returns how many. */
static int read_order(int worker[MOST_EVENTS])
{
    char path[sizeof order + 4], line[300];
    unsigned char word[4];
    int count = 0;
    snprintf(path, sizeof path, "%s.0", order);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && *line != '\n')
        continue;
    while (fread(word, 1, sizeof word, f) == sizeof word && word[3] == 0)
        worker[count++] = word[0];
    fclose(f);
    assert_int_equal(unlink(path), 0);
    assert_true(count > 40);
    return count;
}

void reference_run(struct experiment *e, const char *scheme, const char *speeds, const char *more)
{
    struct option_list w = {0};
    char copy[300], *save = NULL;
    struct ledger ledger;
    struct problem p;
    struct problem_kind kind;
    add_plain_sgd(&w, scheme, reference_lr);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=%d", 2 * MINIBATCH);
    add_option(&w, "samples=%d", 2 * MINIBATCH * 200);
    if (*speeds)
        add_option(&w, "%s", speeds);
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(e, option_list_words(&w));
    ledger_problem(&p, &ledger, MINIBATCH);
    kind = *p.kind;
    kind.gradient = gradient;
    p.kind = &kind;
    p.count = FLOATS;
    p.steps = 100; /* interrupts are heard soon */
    e->problem = &p;
    experiment_run(e);
    e->problem = NULL;
    xfree(ledger.entry);
}

double reference_apart(const struct experiment *e, const double *x)
{
    double most = 0, difference = 0;
    for (int i = 0; i < FLOATS; i++) {
        most = fmax(most, fabs(x[i]));
        difference = fmax(difference, fabs(x[i] - (double)e->out.w[i]));
    }
    return difference / most;
}

/* Returns the model, which ends where the run does. */
struct reference follows(reference_rule *rule, const char *scheme, const char *speeds,
                         int parameter, const char *more)
{
    static int worker[MOST_EVENTS];
    struct experiment e;
    struct reference m = {.minibatches = 2, .parameter = parameter};
    const char *local = strstr(more, "local-steps=");
    char options[300];
    m.local_steps = local ? atoi(strchr(local, '=') + 1) : 0;
    m.momentum = local && strstr(more, " momentum=0.8") ? 0.8 : 0;
    snprintf(options, sizeof options, "record=%s %s", order, more);
    reference_run(&e, scheme, speeds, options);
    int count = read_order(worker);
    for (int k = 0; k < count; k++)
        reference_take(&m, worker[k], rule);
    if (!(reference_apart(&e, m.x) < 1e-5))
        fail_msg("%s %s: %g apart", scheme, more, reference_apart(&e, m.x));
    assert_int_equal(e.out.updates, m.version);
    for (int d = 0; d < HISTOGRAM; d++)
        assert_int_equal(e.out.server.staleness.bin[d], m.stale[d]);
    experiment_close(&e);
    return m;
}

int64_t staler_than(const struct reference *m, int64_t d)
{
    int64_t sum = 0;
    while (++d < HISTOGRAM)
        sum += m->stale[d];
    return sum;
}

double mean_staleness(const struct reference *m)
{
    double sum = 0, count = 0;
    for (int d = 0; d < HISTOGRAM; d++) {
        sum += (double)(d * m->stale[d]);
        count += (double)m->stale[d];
    }
    return sum / count;
}
