/* An asynchronous scheme beside a reference in double, on a problem of a few floats.
 *
 * The run records the order in which the server took pushes. That order alone decides the weights:
 * so it is given to a model of the server and its workers, whose rule a test writes out. Compared
 * are the weights at the end, the updates, and how stale each push was. */
#ifndef TESTS_REFERENCE_RUN_H
#define TESTS_REFERENCE_RUN_H

#include "tests/scheme_harness.h"

enum { WORKERS = 5, FLOATS = 6 };
static const double reference_lr = 0.03;
/* --slow; no two workers are ever done at once */
#define UNEQUAL "slow=2=1.3,3=1.7,4=3.1,5=9.7"
#define EQUAL "slow=2=1.0001,3=1.0002,4=1.0003,5=1.0004"

struct reference {
    int minibatches;  /* of a push */
    int local_steps;  /* 0: a push is their mean gradient, else how far so many steps lead */
    double momentum;  /* of local steps */
    double x[FLOATS]; /* the server's */
    double at[WORKERS][FLOATS]; /* the workers' */
    int64_t index[WORKERS], version, version_at[WORKERS];
    int64_t stale[HISTOGRAM]; /* pushes that were used, by staleness */
    double pushes, local_v[WORKERS][FLOATS];

    /* for rules */
    int count, parameter;
    double sum[FLOATS], v[WORKERS][FLOATS];
    double first[WORKERS], last[WORKERS], given[WORKERS], weight[WORKERS];
    struct table {
        double sum[WORKERS][FLOATS], count[WORKERS];
    } table[2]; /* of this round, of the next one */
    bool updates, served[WORKERS];
};

/* What the server does with a push: a mean gradient or a move g, d updates old. */
typedef void reference_rule(struct reference *m, int worker, const double *g, int64_t d);

void reference_use(struct reference *m, int64_t d);                     /* the push is used */
void reference_step(struct reference *m, const double *g, double rate); /* x -= rate g */

/* Gradient of a mini-batch of that worker, at its weights. */
void reference_gradient(const struct reference *m, int worker, int64_t index, double *g);
/* The worker computes and pushes, and takes the weights. */
void reference_take(struct reference *m, int worker, reference_rule *rule);

/* Batches of two mini-batches at plain SGD, until 200 are used; further options are "name=value
 * name=value". experiment_close() when done. */
void reference_run(struct experiment *e, const char *scheme, const char *speeds, const char *more);
double reference_apart(const struct experiment *e, const double *x); /* relative to the greatest */

/* Runs both and asserts that they agree. `parameter` is for the rule. Local steps and their
 * momentum are read from `more`. Returns the reference as it ends. */
struct reference follows(reference_rule *rule, const char *scheme, const char *speeds,
                         int parameter, const char *more);

int64_t staler_than(const struct reference *m, int64_t d);
double mean_staleness(const struct reference *m);

/* setup and teardown of a group of tests */
int open_folder(void **state);
int close_folder(void **state);

#endif
