/* Neighbours on a graph exchange vectors and mix them, without a server.
 *
 *   x_i <- sum over sources j of W_ij x_j        (--topology, --mixing: topology/topology.h)
 *
 * An exchange has two halves, so that a worker computes between them: begin sends its vector to
 * the targets of the step, the end has the sources' vectors. All mix what neighbours had when they
 * began (Jacobi, never a half mixed neighbour), in ascending order of workers: the same bits
 * whatever came first. On one host a vector is read where it lies, between hosts each target is
 * sent its copy: the graph's edges and no more. A worker waits for its neighbours alone; but rank 0
 * lets nobody be more than two updates ahead of the slowest (parameter_server/monitor.c).
 *
 * Directed graphs have sources that are no targets, and columns of W add to 1 (push-sum). A number
 * goes with each vector, which is mixed alike: push-sum's weight.
 *
 * Who waits for a neighbour that falls silent names it. Waiting is node_wait()'s, so evaluations
 * are heard meanwhile. */
#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include "node/node.h"
#include "topology/topology.h"

struct gossip;

struct gossip_options {
    const char *topology, *mixing;
    int64_t local_ranks;
    double choco_gamma;
};

extern const struct option_set gossip_option_set; /* of all schemes on a graph */
/* of all whose workers have weights of their own: for gossip_serve() */
extern const struct option_set own_weights_option_set;

/* What a scheme asks of the graph. */
enum gossip_graph {
    GOSSIP_DOUBLY,  /* undirected, rows and columns of W add to 1: mixing keeps the mean */
    GOSSIP_FIXED,   /* the same, and each step's graph is one and the same */
    GOSSIP_COLUMNS, /* columns add to 1, edges may go one way: push-sum */
    GOSSIP_EDGES    /* undirected; weights play no part, so --mixing is refused */
};

/* Fatal, before any rank works, where --topology and its options give no such graph of so many
 * workers: why, and the nearest that does. */
void gossip_check(const struct options *o, int workers, enum gossip_graph wanted);

/* Fatal where a worker may keep nothing of what it sends, some W_ii <= 0. */
void gossip_check_kept(const struct options *o, int workers);

/* The options that these options use: gossip_option_set and the graph's own. */
void gossip_use_options(struct options *o);

/* The graph that the options name. To be closed. Ranks of one process share one
 * (run_context.topology); others open their own. */
struct topology *gossip_topology(const struct options *o, int workers);

/* Rank 0 of a scheme on a graph: counts what workers report, until training is over; the mean of
 * their weights is judged. Together: ps_monitor()'s. Each keeps its own as "worker.weights"; of a
 * run that is resumed rank 0 has their mean, which a new worker begins with. */
void gossip_serve(struct node *n, bool together);

/* --- a worker; all of a run's workers call these alike, in one order */

/* For vectors of `count` floats, at least 1. */
struct gossip *gossip_open(struct node *n, int64_t count);
/* The same through a codec, by CHOCO-SGD's estimates (Koloskova, Stich, Jaggi ICML 2019,
 * arXiv:1902.00340; gossip/choco.h): gossip_mix() moves x_i by gamma sum of W_ij (e_j - e_i)
 * (--choco-gamma), and gossip_take() gives estimates. `start`, [count], is the same at all workers.
 * The graph must stay the same; gossip_check() refuses others with --compress. A codec that leaves
 * floats as they are is gossip_open(). */
struct gossip *gossip_open_packed(struct node *n, int64_t count, const struct codec *codec,
                                  const float *start);
void gossip_close(struct gossip *g); /* no exchange is under way; waits until all is read */

/* `vector`, [count], of net_alloc()'s memory, and `number` go to this worker's targets of that step
 * of the graph. The vector must not change until the call of gossip_begin() after the next one, or
 * gossip_flush(), has returned. One exchange at a time. */
void gossip_begin(struct gossip *g, int64_t step, const float *vector, double number);

struct gossip_source {
    int worker;
    double weight;       /* W_ij; of this worker W_ii */
    const float *vector; /* [count], borrowed until gossip_end() */
    double number;
};

/* Waits for the sources' vectors of the exchange that has begun. The list is in ascending order of
 * workers, this one among them if it mixes its own; returns how many. */
int gossip_take(struct gossip *g, const struct gossip_source **list);
void gossip_end(struct gossip *g); /* gives them back */

/* Takes, mixes and ends: to = sum of W_ij x_j, [count]. `to` is neither the vector under way nor
 * borrowed: the vector that was sent before it will do, since it waits for that to be free. Returns
 * the mixed number. Charged as a sum of vectors that all workers read together. */
double gossip_mix(struct gossip *g, float *to);

/* The sources, but for this worker, of the exchange under way whose vectors are not here yet: their
 * workers, [degree]; returns how many. */
int gossip_missing(struct gossip *g, int *worker);
/* The others among the targets of that step: their workers, [degree]; returns how many. */
int gossip_targets(struct gossip *g, int64_t step, int *worker);

void gossip_flush(struct gossip *g); /* waits until all that was sent is this worker's again */

/* --- SlowMo: an outer step beside gossip (Wang et al. ICLR 2020, arXiv:1910.00643)
 *
 * Every tau updates: x' the workers' exact mean, x0 what all had after the outer step before, lr
 * the mean of the rates of the updates since (there it is constant meanwhile; a schedule's is not),
 *
 *   u <- beta u + (x0 - x') / lr;   x <- x0 - alpha lr u      (--outer-every, -lr, -momentum)
 *
 * so all workers have the same weights then. beta 0 and alpha 1 take the mean; with one worker it
 * is momentum alone: the control that shows what the exchange is worth. The inner rule's momentum
 * is kept. Cost: a sum among all workers (collective/) every tau updates, two vectors. */

extern const struct option_set outer_option_set; /* of schemes with the flag OUTER */

#define OUTER_DEVIATIONS                                                                           \
    "SlowMo's outer step (--outer-every) takes the mean of the rates since the last one, and "     \
    "keeps the inner momentum"

#define TOGETHER_DEVIATIONS                                                                        \
    "rank 0, which counts updates, lets nobody be more than two ahead of the slowest"

struct outer;

void outer_check(const struct options *o); /* fatal on options that have no effect */
struct outer *outer_open(struct node *n);  /* all begin with n->w; NULL: no outer step is made */
void outer_close(struct outer *s);         /* NULL is fine */
/* After the update that makes version n->version + 1, [n->count] in net_alloc()'s memory: the outer
 * step, if it is time. NULL does nothing. */
void outer_step(struct outer *s, float *w);

/* Of the graph, for schemes that pick their partners themselves. */
const struct topology *gossip_graph_of(const struct gossip *g);

#endif
