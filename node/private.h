/* What the files of node/ share. Each file keeps its state in a struct of its own. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include <sys/stat.h>

#include "base/list.h"
#include "node/by_worker.h"
#include "node/node.h"
#include "node/trace.h"

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
    int step;                      /* the last one that was done */
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

struct message_work { /* what of it is accounted for */
    int64_t moved_bytes;
    double taken_s;
};

struct control {
    /* A server watches all ranks, a worker its servers. */
    bool *departed; /* [watched]: no heartbeat is expected from it */
    int watched;
    bool *absent;                             /* [ranks]: lost, and not waited for; rank 0's */
    bool (*on_absence)(void *self, int rank); /* node_on_absence()'s */
    void *absence_self;

    enum node_flow (*interrupt)(void *self); /* node_set_interrupt()'s */
    void *interrupt_self;
    struct request *const *wake[NODE_WAKES];
    int wakes;

    struct request *end; /* node_hear_end()'s: rank 0's word that training is over */

    struct request *call;   /* other ranks: posted for rank 0's next call to an evaluation */
    bool called;            /* rank 0: by itself */
    int64_t called_version; /* servers wait for it */
    bool evaluating;
    double waited_from_s, waited_to_s; /* of net_now(): the part of node_wait() that is waiting */
    double looked_s;                   /* of net_now(): for silent ranks */
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

struct own_accuracies { /* top-1 of workers' own weights, in percent, in one evaluation */
    double best, worst, sum;
    int count;
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
    struct own_accuracies own; /* rank 0 */
    const float **workers;     /* [workers]: their own weights, borrowed */
    struct request **borrowed; /* [workers] */
    double *scale;             /* [workers]: of the mean */
    float *mean;
    struct evaluation last;
    struct evaluation_moments moments; /* of --eval-seconds */
    const float *shown;                /* a worker's own weights, node_show()'s; NULL: n->w */
    bool current;                      /* it is of the current version */
    int64_t next_samples;              /* when the next one is due */
    double training_loss;              /* summed over samples since the last evaluation */
    int64_t training_samples;
};

struct last_images {       /* rank 0 */
    float *w, *statistics; /* of the last evaluation; NULL: no images are judged at the end */
    bool noted;            /* there was one */
    int64_t samples, done; /* that are judged; mini-batches */
    struct evaluation result;
};

struct saver { /* rank 0 */
    /* --save's file, as --init read it or as this run wrote it last, and what it says of itself */
    struct stat seen;
    struct weights_note note;
    int64_t saved;            /* the version that this run wrote there last */
    int64_t before;           /* samples of its weights, where this run goes on with it */
    double best;              /* top-1 of the file of the best weights; -1: there is none */
    bool failed, best_failed; /* the last write of each, which was said */
    bool waits;               /* for as many samples as `before`: the same */
};

struct participation { /* in an evaluation */
    int64_t number;    /* names what belongs to it */
    bool *called;      /* [ranks] rank 0: who takes part */
    int64_t done, all; /* mini-batches of this rank's shard */
};

struct divergence {
    double first_loss; /* of the first weights */
    int64_t rising;    /* versions judged in a row that have a greater loss */
    int64_t updates;   /* the version judged last */
    char found[16];    /* "diverging", "at_chance"; "": nothing so far */
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

struct stopping {
    struct request *asked; /* rank 0: for the next rank that is asked; NULL: one process */
    int signal;            /* heard by rank 0, told by the others; 0: none */
    bool only_saves;       /* the evaluation under way judges nothing: weights go to the disk */

    /* rank 0 */
    double since_s;      /* of wall clock */
    bool saved, leaves;  /* since then */
    bool over;           /* all is saved and judged, and nobody comes to an evaluation any more */
    double took_s;       /* the last evaluation, of wall clock */
    const float *judged; /* the primary, while it is judged; NULL else */
};

struct fault_course { /* how far it has come in --faults */
    double *struck_s; /* [faults] of net_now(), this rank's; INFINITY: not yet */
    int64_t pushes, messages;
};

struct keep {
    struct kept kept;
    float *const *at; /* where its vector is; NULL: it stays */
};

struct keeping {       /* for checkpoints: keeping.c */
    struct keep *list; /* [count] */
    int count, room;
    struct checkpoint_writer *writer; /* NULL: none are written */
    int64_t number;                   /* of the last one that was cut here; 0: none was */
    struct traffic before;            /* messages before the run was resumed */

    /* rank 0 */
    int64_t announced;    /* this version is to be cut; 0: none is */
    int64_t version;      /* of the last cut */
    int64_t last_samples; /* the same */
    double last_s;        /* the same, of net_now() */
    bool elsewhere;       /* the first worker has the weights */
};

struct node_private {
    struct link vectors; /* its own: vectors.c */
    bool stop_heard;     /* rank 0: at an update it was asked to stop */
    struct keeping keeping;
    struct link_course link;
    struct fault_course faults;
    struct training_clock clock;
    struct accounts accounts;
    struct computing computing;
    struct message_work message_work;
    struct control control;
    struct evaluator evaluator;
    struct last_images last_images;
    struct saver saver;
    struct participation participation;
    struct divergence divergence;
    struct starvation starvation;
    struct loss_sums loss_sums;
    int64_t unwritten; /* files of this rank that could not be written, where it has no results */
    struct stopping stopping;
    struct recorder *trace; /* NULL without --trace */
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
/* Cores that the ranks which compute on its machine want, of each that is there; wants
 * context->computing. */
double computing_demand(const struct node *n);

/* --- vectors.c --- */

void vectors_open(struct node *n);
/* Calls visit(self, block, bytes) for each of them, in the order in which they were made. */
void vectors_visit(struct node *n, void (*visit)(void *self, void *block, size_t bytes),
                   void *self);

/* --- course.c --- */
struct journal *course_journal(const struct node *n); /* NULL: none is kept */
/* Rank 0: an update was counted, and nothing decided by it; it may be the last one. */
void course_update(struct node *n, bool last);
void course_close(struct node *n);

/* --- message_work.c: virtual time --- */

void message_work_waited(struct node *n); /* this rank has waited */
void message_work_begin(struct node *n);  /* it begins to compute */
/* Seconds by which its next unit is later: its own messages', and what others took. */
double message_work_s(struct node *n);

/* --- link.c --- */

void link_open(struct node *n);
void link_close(struct node *n);

/* --- faults.c --- */

void node_faults_open(struct node *n); /* where the clock starts, after link_open() */
void node_faults_close(struct node *n);
void node_faults_minibatch(struct node *n, int64_t attempt); /* that one begins */
/* How many times as long a mini-batch takes that begins now. */
double node_faults_slowness(const struct node *n);

/* --- control.c --- */

void control_open(struct node *n);
/* node_sleep() that goes to this account */
enum node_flow control_sleep(struct node *n, double seconds, enum account account);
/* Training is over: no call is expected any more, the counters of every rank are. */
void control_expect_all(struct node *n);
void control_close(struct node *n);

/* Is the mini-batch under way to be dropped? Asks the interrupt callback, and the clock. */
enum node_flow node_check_interrupt(struct node *n);

/* Rank 0: evaluates the current version now. */
void control_evaluate(struct node *n);
/* Rank 0: writes --save now, and judges nothing. */
void control_save(struct node *n);

/* Waits for one request; its time is nobody's. False: the peer is absent now. */
bool node_await(struct node *n, struct request *request, const char *what, int peer);

/* --- lost.c --- */

/* Ends the run when a rank that is needed is lost; true when it goes on without one. `what` is
 * waited for, from `peer` (NET_ANY: nobody in particular). */
bool lost_look(struct node *n, const char *what, int peer, double waited_s);

/* --- evaluation.c --- */

void evaluator_open(struct node *n);
void evaluator_close(struct node *n);

/* This rank's part in an evaluation. Called by control.c, at one place. `called`: of the current
 * version; else of a moment. */
void evaluation_run(struct node *n, bool called);

/* Rank 0: all take part, but only to bring it the weights, which go to the disk with the last
 * evaluation's batch-norm statistics. */
void evaluation_save(struct node *n);
/* Rank 0, in an evaluation: those that are judged now. False: none are yet, or any more. */
bool evaluation_save_judged(struct node *n);

/* To every other rank. The requests are left in (*sent_to)[ranks], made when it is NULL, until
 * evaluation_release(), which waits for them; sent_to NULL: a header alone. */
void evaluation_send(struct node *n, struct request ***sent_to, const struct header *header,
                     const void *payload, size_t bytes);
void evaluation_release(struct node *n, struct request **sent_to);
/* Waits for that message, whose payload has so many bytes: into `into`, or borrowed (NULL). */
struct request *evaluation_receive(struct node *n, int from, int tag, void *into, size_t bytes);

/* --- confusion.c: --per-class --- */

/* In memory that can be sent; none without the option. On the simulated network rank 0 counts for
 * all. */
void confusion_open(struct node *n);
void confusion_close(struct node *n);
/* Clears the counts; returns their bytes in a message, 0 where there are none. */
size_t confusion_begin(struct node *n);
/* To rank 0, behind that header, which may have no payload else. */
void confusion_send(struct node *n, const struct header *header);
void confusion_add(struct node *n, struct request *come); /* NULL: of an absent rank */
void confusion_record(struct node *n);                    /* rank 0: into the results */

/* --- node.c --- */

/* Messages until now go to n->counters. */
void node_count_traffic(struct node *n);

/* --- resume.c: of a run that is resumed --- */

/* What this rank had kept under that name. */
void resume_fill(struct node *n, const struct kept *to);
void resume_weights(struct node *n); /* a server: n->w */

/* --- keeping.c --- */

/* What the node itself keeps; of a run that is resumed it is filled in. */
void keeping_open(struct node *n);
void keeping_average(struct node *n, struct range at); /* average.w was made */
/* The training clock starts: where it stood, if the run is resumed. */
void keeping_start_clock(struct node *n);
/* Rank 0, after an update was counted and before anything is decided by it: cuts a checkpoint if
 * one is due. `ends`: training will be over. */
void keeping_updated(struct node *n, bool ends);
/* Rank 0: it is over. Where the first worker has the weights nothing is cut, but by --target. */
void keeping_ended(struct node *n);
/* Rank 0: a rank is absent now. Checkpoints are made again when all are there. Are any made? */
bool keeping_lost(struct node *n);
struct kept *keeping_list(struct node *n, int *count); /* all that it keeps now; for xfree() */
void keeping_await(struct node *n, double seconds); /* rank 0, not at the end: for the last one */
void keeping_close(struct node *n);                 /* waits until the last one is written */
void keeping_tidy(struct node *n); /* rank 0, after all have closed: nothing unfinished is left */

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
    bool own;      /* a worker's */
    const float *w;
};

void weights_set_open(struct node *n);
/* The set that rank 0 calls to judge. */
void weights_set_take(struct node *n, const struct header *call);
void weights_set_close(struct node *n);
void weights_set_exchange(struct node *n); /* all weights of the set come to this rank */
void weights_set_look(struct node *n);     /* the same, where all nodes are in this process */
/* Fills in the candidate of that number; false: there are no more. */
bool weights_set_next(const struct node *n, struct candidate *c);
void weights_set_release(struct node *n);

/* --- consensus.c: rank 0 */

void consensus_judged(struct node *n, double top1); /* of a worker's own weights */
/* All weights of the set were judged: a row of workers.csv, if workers have their own. */
void consensus_record(struct node *n);
const float *weights_shown(const struct node *n); /* a worker's own, as evaluations see them */

/* --- last_images.c: rank 0, test images where evaluations judge held-out ones --- */

void last_images_open(struct node *n);
void last_images_close(struct node *n);
void last_images_note(struct node *n, const float *w); /* the primary weights of an evaluation */
void last_images_judge(struct node *n);                /* training is over */

/* --- saving.c: rank 0 --- */

void saving_open(struct node *n);
/* Weights that were just judged: to --save's file, and as the best ones when they are. */
void saving_judged(struct node *n, const float *w);
/* Weights that nobody has judged, to --save's file alone. */
void saving_last(struct node *n, const float *w);
/* Before the run ends badly: to it the weights of the last update, where rank 0 has them. True:
 * they are there. */
bool saving_newest(struct node *n);
void saving_end(struct node *n); /* what was not written is reported */
/* Where the best weights are, and their top-1; false: nowhere. */
bool saving_best(const struct node *n, char *path, size_t size, double *top1);

/* --- update.c: rank 0 --- */

struct limits node_limits(const struct node *n); /* that hold now */
/* Of the first weights; is --target reached already? Of a run that is resumed: what its version
 * brings, an evaluation, or the end. */
void node_first_evaluation(struct node *n);

/* --- node.c: rank 0 --- */

/* Before its time: the closing files, without what other processes have. False: one failed. */
bool node_finish_results(struct node *n);

/* --- stop.c --- */

void stop_open(struct node *n);
void stop_close(struct node *n);
/* Looks for a signal, where a rank waits or is between two units. Rank 0 may not return. */
void stop_attend(struct node *n);
void stop_listen(void *context, const char *what); /* simulated, after each unit of any rank */
bool stop_is_asked(struct node *n);                /* rank 0: is the run to stop? Says so, once */
bool stop_has_time(const struct node *n); /* rank 0, asked to stop: for another evaluation? */
struct request *stop_request(const struct node *n); /* done when another rank was asked */

/* --- divergence.c: rank 0 --- */

/* After an evaluation: says so, once, when the run goes wrong. */
void divergence_check(struct node *n);
/* "nan", "diverging", "at_chance", or NULL */
const char *divergence_found(const struct node *n);
/* The loss of that rank (NET_ANY: of an evaluation) is no longer a number. Training ends, the last
 * good evaluation stays. */
void divergence_nan(struct node *n, int rank);

#endif
