/* What the files of node/ share. Each file keeps its state in a struct of its own. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include "node/node.h"

enum { STOPS = 8 };

struct stop {        /* of the training clock */
    double began_s;  /* of net_now() */
    double before_s; /* for which it had been stopped before */
};

struct training_clock {
    double started_s;        /* of net_now(), when training began */
    double stopped_s;        /* seconds for which it was stopped since then */
    struct stop stop[STOPS]; /* the last ones: number i is at i % STOPS */
    int stops;               /* so many there were */
    double trained_s;  /* rank 0: when the newest version was made; what is later is no training */
    double deadline_s; /* node_set_deadline()'s; INFINITY: none */
};

struct computing {
    struct stream **streams; /* [stream_count]: one, or one per worker where a process is all */
    int64_t *next;           /* [stream_count]: the mini-batch that comes next */
    int stream_count, selected;
    int64_t attempts;              /* mini-batches begun: jitter, and delays, are keyed by it */
    struct delay_course course[2]; /* delays keyed by the clock: interruptible, standstill */
    int64_t cleared;               /* mini-batches that it cleared */
    double slow;                   /* speed factor */
    struct jitter jitter;          /* virtual time: how much mini-batches' times vary */
    int host;                      /* whose ranks have slow moments in common */
    double unit_s;                 /* time at which the unit under way began */
    double *units_s;  /* virtual time: seconds of each unit of the mini-batch under way */
    double unslept_s; /* slowness not yet slept */
    bool shared;      /* others write n->w while a mini-batch is under way */
    float *spare;     /* a gradient's memory when n->sum is in use */
    float *gradient;  /* the one under way: spare or n->sum */

    /* node_on_gradient_ready()'s, for this mini-batch; NULL: nobody listens */
    void (*on_ready)(void *self, const float *vector, int64_t from);
    void *listener;
    int64_t least;      /* floats between two calls */
    int64_t final_from; /* floats from here on are final, and were reported */
};

struct control {
    /* A server watches all ranks, a worker its servers. */
    bool *departed; /* [watched]: no heartbeat is expected from it */
    int watched;

    enum node_flow (*interrupt)(void *self); /* node_set_interrupt()'s */
    void *interrupt_self;
    struct request *const *wake[NODE_WAKES];
    int wakes;

    struct request *call;   /* other ranks: posted for rank 0's next call to an evaluation */
    bool called;            /* rank 0: by itself */
    int64_t called_version; /* servers wait for it */
    bool evaluating;
    double waited_from_s, waited_to_s; /* of net_now(): the part of node_wait() that is waiting */
};

struct whole { /* what servers have in slices, whole at this rank */
    const float *w;
    float *gathered;          /* where it comes in several slices; NULL else */
    struct request *borrowed; /* else from the only server, unless that is this rank */
    struct request **sent;    /* [ranks]: this rank's slice, as sent to each */
};

struct average {
    float *w; /* [count], a server's slice of it; NULL: none */
    int64_t updates;
    bool is_shown; /* rank 0: it comes from the first worker */
};

/* Moments are k x --eval-seconds of the training clock, k = 1, 2, .. */
struct evaluation_moments {
    int64_t next; /* k of the next one; 0: there are none */
    int due;      /* that have come when an evaluation begins: each gets its row */
};

struct evaluator {
    void (*prepare)(void *self); /* node_before_evaluation()'s */
    void *prepare_self;
    void (*called)(void *self); /* node_on_evaluation()'s */
    void *called_self;
    double waiting_since_s;  /* node_waiting_since()'s; 0: not known */
    double *sums;            /* batch-norm sums, in memory that can be sent */
    float *statistics;       /* their means and variances; the same */
    struct request **copies; /* [ranks]: the statistics, as they were sent to each */

    struct weights_set set; /* what is judged; it comes with the call */
    struct request **sent;  /* [ranks]: this rank's slice or weights, as sent to each */
    struct average average; /* this rank's: average.c */
    struct whole averages, servers;
    const float **workers;     /* [workers]: their own weights, borrowed */
    struct request **borrowed; /* [workers] */
    double *scale;             /* [workers]: of the mean */
    float *mean;
    struct evaluation last;
    struct evaluation_moments moments; /* of --eval-seconds */
    const float *shown;                /* a worker's own weights, node_show()'s; NULL: n->w */
    bool current;                      /* it is of the current version */
    int64_t next_samples;              /* when the next one is due */
    bool save_failed;                  /* and it was said */
    double training_loss;              /* summed over samples since the last evaluation */
    int64_t training_samples;
};

struct divergence {
    double first_loss; /* of the first weights */
    int rising;        /* versions judged in a row that have a greater loss */
    int64_t updates;   /* the version judged last */
    const char *found; /* "diverging", "at_chance"; NULL: nothing so far */
};

struct starvation {     /* rank 0; samples that updates used */
    int64_t *used, all; /* used: [workers] */
    int64_t look_at;    /* samples */
    const char *advice; /* node_explain_starvation()'s */
    bool said;
};

struct accounts {
    enum account current;
    double since_s;   /* of the training clock */
    int64_t in_hand;  /* mini-batches that are finished and were neither pushed nor dropped */
    double in_hand_s; /* computing of those */
    double newest_s;  /* of the newest */
    bool ended;
};

struct link_course { /* how far its link has come in what slows it */
    int64_t payloads;
    struct delay_course course;
};

struct node_private {
    struct link_course link;
    struct training_clock clock;
    struct accounts accounts;
    struct computing computing;
    struct control control;
    struct evaluator evaluator;
    struct divergence divergence;
    struct starvation starvation;
};

/* --- clock.c --- */

/* what node_clock() shows when net_now() shows this */
double node_clock_at(const struct node *n, double now_s);
/* It was stopped for so long; the stop began when net_now() showed that. */
void clock_stopped(struct node *n, double began_s, double seconds);
/* has node_set_deadline()'s time passed then? */
bool node_past_deadline_at(const struct node *n, double now_s);

/* --- account.c --- */

void accounts_open(struct node *n);                        /* where the clock starts */
void accounts_finished(struct node *n, double computed_s); /* a mini-batch */
void accounts_used(struct node *n);                        /* all that is in hand */
void accounts_dropped(struct node *n);

/* --- computing.c --- */

void computing_open(struct node *n);
void computing_close(struct node *n);

/* --- link.c --- */

void link_open(struct node *n);
void link_close(struct node *n);

/* --- control.c --- */

void control_open(struct node *n);
/* node_sleep() that goes to this account */
enum node_flow control_sleep(struct node *n, double seconds, enum account account);
/* Training is over: no call is expected any more, the counters of every rank are. */
void control_expect_all(struct node *n);
void control_close(struct node *n);

/* Is the mini-batch under way to be dropped? Asks the interrupt callback, and the clock. */
enum node_flow node_check_interrupt(struct node *n);

/* Rank 0: an evaluation of the current version is wanted. It runs when events are handled next. */
void control_call_evaluation(struct node *n);

/* Waits for one request; its time is nobody's. Ends the run when a rank falls silent. */
void node_await(struct node *n, struct request *request, const char *what, int peer);

/* --- evaluation.c --- */

void evaluator_open(struct node *n);
void evaluator_close(struct node *n);

/* This rank's part in an evaluation. Called by control.c, at one place. `called`: of the current
 * version; else of a moment. */
void evaluation_run(struct node *n, bool called);

/* To every other rank. The requests are left in (*sent_to)[ranks], made when it is NULL, until
 * evaluation_release(), which waits for them; sent_to NULL: a header alone. */
void evaluation_send(struct node *n, struct request ***sent_to, const struct header *header,
                     const void *payload, size_t bytes);
void evaluation_release(struct node *n, struct request **sent_to);
/* Waits for that message. */
struct request *evaluation_receive(struct node *n, int from, int tag, void *into, size_t bytes);

/* --- average.c --- */

void average_open(struct node *n);
void average_close(struct node *n);
void average_update(struct node *n); /* after an update of a server's weights */

/* --- moments.c: rank 0 --- */

double moments_of(const struct node *n, int64_t k); /* the k-th moment; INFINITY: there is none */
/* Is an evaluation due now, by the clock? */
bool moment_has_come(const struct node *n);
/* With the version that was just made, since no event begins one? */
bool moment_makes_version_due(const struct node *n);
/* When net_now() shows that the next one has come; INFINITY: no event begins one. */
double moment_at_s(const struct node *n);
int moments_due(const struct node *n); /* how many have come */

/* --- weights_set.c --- */

struct candidate { /* weights of a set */
    int number;    /* 0: the primary */
    char name[24]; /* "ema", "mean", "server", "worker 3" */
    const float *w;
};

void weights_set_open(struct node *n);
void weights_set_close(struct node *n);
void weights_set_exchange(struct node *n); /* all weights of the set come to this rank */
void weights_set_look(struct node *n);     /* the same, where all nodes are in this process */
/* Fills in the candidate of that number; false: there are no more. */
bool weights_set_next(const struct node *n, struct candidate *c);
void weights_set_release(struct node *n);

/* --- update.c: rank 0 --- */

/* of the first weights; is --target reached already? */
void node_first_evaluation(struct node *n);

/* --- divergence.c: rank 0 --- */

/* After an evaluation: says so, once, when the run goes wrong. */
void divergence_check(struct node *n);
/* "nan", "diverging", "at_chance", or NULL */
const char *divergence_found(const struct node *n);
/* The loss of that rank (NET_ANY: of an evaluation) is no longer a number. Training ends, the last
 * good evaluation stays. */
void divergence_nan(struct node *n, int rank);

/* --- starvation.c: rank 0 --- */

void starvation_open(struct node *n);
void starvation_close(struct node *n);
/* After an update: says so, once, when a worker is starved. */
void starvation_check(struct node *n);
bool starvation_said(const struct node *n);
/* the least of all workers' used share / data share; NAN: nobody is judged */
double starvation_least_use(const struct node *n);

#endif
