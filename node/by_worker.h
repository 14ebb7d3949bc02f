/* What rank 0 counts of each worker, by what pushes and reports say. Private to node/. */
#ifndef NODE_BY_WORKER_H
#define NODE_BY_WORKER_H

#include <stdbool.h>
#include <stdint.h>

struct node;

struct starvation {     /* rank 0; samples that updates used */
    int64_t *used, all; /* used: [workers] */
    int64_t look_at;    /* samples */
    const char *advice; /* node_explain_starvation()'s */
    bool said;
};

struct loss_sums { /* rank 0: of each worker, since the last evaluation */
    double *sum;
    int64_t *samples;
};

/* --- starvation.c: rank 0 --- */

void starvation_open(struct node *n);
void starvation_close(struct node *n);
/* After an update: says so, once, when a worker is starved. */
void starvation_check(struct node *n);
bool starvation_said(const struct node *n);
/* the least of all workers' used share / data share; NAN: nobody is judged */
double starvation_least_use(const struct node *n);

/* --- worker_losses.c: rank 0 */

void worker_losses_open(struct node *n);
void worker_losses_close(struct node *n);
void worker_losses_record(struct node *n); /* after an evaluation */

#endif
