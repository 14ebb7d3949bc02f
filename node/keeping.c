/* What of a rank a checkpoint holds, and when it is cut; resume.c: how a run goes on from one.
 *
 * Rank 0 decides, at an update: its own state is copied there, before anything is sent, and every
 * message after it carries the number of the checkpoint (parameter_server/). A rank that meets a
 * number greater than that of its last one copies its state at once: a worker when it takes a
 * reply, another server when it takes a push. So the cut of a scheme whose workers wait for the
 * weights of a version is that version, exactly, and nobody pauses. Where nobody waits, a server's
 * record of what each worker has pushed says where the worker goes on.
 *
 * Where workers agree among themselves they are an update ahead of rank 0: there the next update is
 * announced. Of an evaluation a checkpoint comes first: what was learned is kept before it is
 * judged, and a run that goes on makes the evaluation that was due. */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/wall_clock.h"
#include "node/private.h"

enum { MOVING = 4 }; /* at most, beside what is in the list */

/* --- what is kept --- */

static struct keep *add(struct node *n, const char *name)
{
    struct keeping *k = &n->own->keeping;
    for (int i = 0; i < k->count; i++)
        assert(strcmp(k->list[i].kept.name, name) && "a name is kept twice");
    assert(strlen(name) < STATE_NAME);
    if (k->count == k->room) {
        int room = k->room ? 2 * k->room : 64;
        struct keep *more = xcalloc((size_t)room, sizeof *more);
        if (k->count)
            memcpy(more, k->list, (size_t)k->count * sizeof *more);
        xfree(k->list);
        k->list = more;
        k->room = room;
    }
    struct keep *new = &k->list[k->count++];
    snprintf(new->kept.name, sizeof new->kept.name, "%s", name);
    return new;
}

void node_keep(struct node *n, const char *name, enum state_type type, void *memory, int64_t count)
{
    if (n->context->nodes && !n->context->course) /* simulated, and nothing is kept */
        return;
    struct kept *k = &add(n, name)->kept;
    k->type = type;
    k->memory = memory;
    k->count = count;
    resume_fill(n, k);
}

void node_keep_vector(struct node *n, const char *name, float *const *vector, int64_t count)
{
    node_keep(n, name, STATE_F32, *vector, count);
    if (n->own->keeping.count)
        n->own->keeping.list[n->own->keeping.count - 1].at = vector;
}

struct keeper { /* of a member's state, under a prefix */
    struct node *n;
    char prefix[STATE_NAME / 2];
};

static void keep_one(void *self, const char *name, enum state_type type, void *memory,
                     int64_t count)
{
    const struct keeper *k = self;
    char whole[STATE_NAME];
    snprintf(whole, sizeof whole, "%s/%s", k->prefix, name);
    node_keep(k->n, whole, type, memory, count);
}

static struct keeper keeper_of(struct node *n, const char *format, va_list arguments)
{
    struct keeper k = {.n = n};
    vsnprintf(k.prefix, sizeof k.prefix, format, arguments);
    return k;
}

void node_keep_optimizer(struct node *n, struct optimizer *o, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct keeper k = keeper_of(n, format, arguments);
    va_end(arguments);
    if (o && !optimizer_is_offloaded(o))
        optimizer_state(o, keep_one, &k);
}

void node_keep_coder(struct node *n, struct coder *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct keeper k = keeper_of(n, format, arguments);
    va_end(arguments);
    if (c)
        coder_state(c, keep_one, &k);
}

/* --- the node's own --- */

#define KEEP_BYTES(n, name, variable)                                                              \
    node_keep(n, name, STATE_U8, &(variable), (int64_t)sizeof(variable))

static void keep_worker(struct node *n)
{
    struct computing *c = &n->own->computing;
    struct accounts *a = &n->own->accounts;
    node_keep(n, "node/next", STATE_I64, c->next, c->stream_count);
    for (int i = 0; i < c->stream_count && n->net->ranks == 1 && node_workers_before(n); i++)
        c->next[i] = node_kept_place(n, "node/next", i); /* others are told by rank 0's */
    node_keep(n, "node/attempts", STATE_I64, &c->attempts, 1);
    node_keep(n, "node/cleared", STATE_I64, &c->cleared, 1);
    node_keep(n, "node/unslept_s", STATE_F64, &c->unslept_s, 1);
    KEEP_BYTES(n, "node/delays", c->course);
    node_keep(n, "node/in_hand", STATE_I64, &a->in_hand, 1);
    node_keep(n, "node/in_hand_s", STATE_F64, &a->in_hand_s, 1);
    node_keep(n, "node/newest_s", STATE_F64, &a->newest_s, 1);
}

static void keep_evaluations(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    struct divergence *d = &n->own->divergence;
    struct starvation *s = &n->own->starvation;
    struct loss_sums *l = &n->own->loss_sums;
    KEEP_BYTES(n, "evaluations/last", e->last);
    node_keep(n, "evaluations/moment", STATE_I64, &e->moments.next, 1);
    node_keep(n, "evaluations/next_samples", STATE_I64, &e->next_samples, 1);
    node_keep(n, "evaluations/training_loss", STATE_F64, &e->training_loss, 1);
    node_keep(n, "evaluations/training_samples", STATE_I64, &e->training_samples, 1);
    node_keep_by_worker(n, "evaluations/loss_sums", STATE_F64, l->sum, 1);
    node_keep_by_worker(n, "evaluations/loss_samples", STATE_I64, l->samples, 1);
    node_keep(n, "statistics", STATE_F32, e->statistics, n->context->problem->statistics);
    node_keep(n, "divergence/first_loss", STATE_F64, &d->first_loss, 1);
    node_keep(n, "divergence/rising", STATE_I64, &d->rising, 1);
    node_keep(n, "divergence/updates", STATE_I64, &d->updates, 1);
    KEEP_BYTES(n, "divergence/found", d->found);
    node_keep(n, "starvation/used", STATE_I64, s->used, n->context->workers);
    node_keep(n, "starvation/all", STATE_I64, &s->all, 1);
    node_keep(n, "starvation/look_at", STATE_I64, &s->look_at, 1);
    KEEP_BYTES(n, "starvation/said", s->said);
    if (node_workers_before(n))
        s->all = s->look_at = 0; /* as `used` is */
}

/* Of an average a server keeps its slice, the first worker the whole. */
void keeping_average(struct node *n, struct range at)
{
    struct average *a = &n->own->evaluator.average;
    node_keep(n, "average", STATE_F32, a->w + at.from, at.to - at.from);
    node_keep(n, "average_updates", STATE_I64, &a->updates, 1);
    if (n->rank == 0) { /* of a decentralised run it is the first worker's */
        node_kept(n, n->context->servers, "average", STATE_F32, a->w, n->count);
        node_kept(n, n->context->servers, "average_updates", STATE_I64, &a->updates, 1);
    }
}

/* Is what this run goes on from one of the checkpoints to which it adds? */
static bool is_kept_already(const struct node *n)
{
    const struct checkpoint *from = n->context->checkpoints.resume;
    const char *name = from ? strrchr(checkpoint_folder(from), '/') : NULL;
    char path[PATH_MAX];
    struct stat s, t;
    return name &&
           snprintf(path, sizeof path, "%s%s", n->context->checkpoints.folder, name) < PATH_MAX &&
           !stat(path, &s) && !stat(checkpoint_folder(from), &t) && s.st_dev == t.st_dev &&
           s.st_ino == t.st_ino;
}

static void open_writer(struct node *n)
{
    struct keeping *k = &n->own->keeping;
    const struct checkpoint_plan *plan = &n->context->checkpoints;
    struct problem *p = n->context->problem;
    k->writer = checkpoint_writer_open(
        &(struct checkpoint_writer_options){.folder = plan->folder,
                                            .rank = n->rank,
                                            .ranks = n->net->ranks,
                                            .keep = plan->keep,
                                            .floats = n->count,
                                            .run = plan->run,
                                            .deadline_s = n->context->options->deadline,
                                            .save_weights = p->classes ? problem_save : NULL,
                                            .self = p});
    k->last_s = net_now(n->net);
    k->last_samples = n->samples;
    k->version = is_kept_already(n) ? n->version : 0;
}

void keeping_open(struct node *n)
{
    bool serves = n->rank < n->context->servers;
    const struct checkpoint_plan *plan = &n->context->checkpoints;
    if (serves)
        resume_weights(n);
    node_keep(n, "node/version", STATE_I64, &n->version, 1);
    node_keep(n, "node/samples", STATE_I64, &n->samples, 1);
    KEEP_BYTES(n, "node/counters", n->counters);
    n->own->keeping.before = n->counters.traffic;
    if (n->worker >= 0)
        keep_worker(n);
    if (n->rank == 0)
        keep_evaluations(n);
    if (plan->folder && !n->net->virtual_time)
        open_writer(n);
}

/* Training goes on where the clock of rank 0 stood. */
void keeping_start_clock(struct node *n)
{
    double clock_s = 0;
    const struct checkpoint *resume = n->context->checkpoints.resume;
    if (resume && !node_kept(n, 0, "clock_s", STATE_F64, &clock_s, 1))
        fatal("--resume %s: it has no time of the training clock", checkpoint_folder(resume));
    n->own->clock.started_s = net_now(n->net) - clock_s;
    n->own->clock.trained_s = clock_s;
}

static struct net_activity act_busy(struct node *n)
{
    return net_act(n->net, (struct net_activity){.pace = NET_BUSY, .what = "a checkpoint"});
}

static void close_writer(struct node *n)
{
    checkpoint_writer_close(n->own->keeping.writer);
    n->own->keeping.writer = NULL;
}

static void await_writer(struct node *n, double until_s)
{
    const struct keeping *k = &n->own->keeping;
    while (k->writer && checkpoint_writer_is_busy(k->writer) && wall_s() < until_s) {
        net_poll(n->net);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* The others do not come to the end. A simulated run waits for its disk. */
void keeping_await(struct node *n, double seconds)
{
    const struct course *c = n->context->course;
    struct net_activity before = act_busy(n);
    await_writer(n, wall_s() + seconds);
    if (c && c->end)
        c->end(c->self, n);
    net_act(n->net, before);
}

/* Messages move on meanwhile, and others hear that this rank is there. Rank 0's writer stays until
 * all the others' are closed: keeping_tidy(). */
void keeping_close(struct node *n)
{
    struct keeping *k = &n->own->keeping;
    struct net_activity before = act_busy(n);
    if (k->writer)
        checkpoint_writer_end(k->writer);
    await_writer(n, INFINITY);
    if (n->rank == 0 && k->writer && checkpoint_writer_failed(k->writer))
        results_unwritten(n->context->results, "a checkpoint");
    if (n->rank > 0)
        close_writer(n);
    xfree(k->list);
    net_act(n->net, before);
}

void keeping_tidy(struct node *n)
{
    if (n->rank == 0)
        close_writer(n);
}

/* --- the cut --- */

char *node_manifest(const struct node *n)
{
    const struct run_context *c = n->context;
    struct results_place place;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f, "no memory for a manifest");
    fprintf(f, "{\n  %s,\n  ", c->checkpoints.facts);
    fprintf(f, "\"version\": %lld,\n  \"seconds\": %.6f,\n  \"lr\": %.9g,\n  \"epoch\": %.6f,\n  ",
            (long long)n->version, n->own->clock.trained_s, node_lr(n),
            (double)n->samples / (double)c->problem->training_samples);
    fprintf(f, "\"statistics_of_samples\": %lld,\n  \"rows\": [",
            (long long)n->own->evaluator.last.samples);
    results_place(c->results, &place);
    for (int i = 0; i < ROWS_FILES; i++)
        fprintf(f, "%s%lld", i ? ", " : "", (long long)place.bytes[i]);
    fputs("]\n}", f);
    fclose(f);
    return text;
}

/* What no list can name beforehand: it is somewhere else each time, or grows. */
static int list_moving(struct node *n, struct kept to[MOVING])
{
    const struct evaluator *e = &n->own->evaluator;
    struct kept *end = to;
    if (n->context->nodes) { /* the course has them */
    } else if (n->rank < n->context->servers && !n->own->keeping.elsewhere) {
        const struct range slice = node_slice(n, n->rank);
        *end++ = (struct kept){"weights", STATE_F32, n->w + slice.from, slice.to - slice.from};
    } else if (n->worker == 0 && e->shown) {
        *end++ = (struct kept){"weights", STATE_F32, (float *)e->shown, n->count};
    }
    if (n->rank == 0) {
        int count;
        const struct evaluation *list = results_evaluations(n->context->results, &count);
        *end++ = (struct kept){"clock_s", STATE_F64, &n->own->clock.trained_s, 1};
        *end++ =
            (struct kept){"evaluations/all", STATE_U8, (void *)list, count * (int64_t)sizeof *list};
    }
    return (int)(end - to);
}

struct kept *keeping_list(struct node *n, int *count)
{
    const struct keeping *k = &n->own->keeping;
    struct kept *list = xcalloc((size_t)k->count + MOVING, sizeof *list);
    for (int i = 0; i < k->count; i++) {
        list[i] = k->list[i].kept;
        if (k->list[i].at)
            list[i].memory = *k->list[i].at;
    }
    *count = k->count + list_moving(n, list + k->count);
    return list;
}

/* A disk that stands still holds it up: rows go there, and the last checkpoint may still. */
static void cut(struct node *n, int64_t number)
{
    struct keeping *k = &n->own->keeping;
    struct net_activity before = act_busy(n);
    char *manifest = n->rank == 0 ? node_manifest(n) : NULL;
    int count;
    node_account(n, n->own->accounts.current); /* counters of now */
    node_count_traffic(n);
    struct kept *list = keeping_list(n, &count);
    checkpoint_write(k->writer, number, n->samples, list, count, manifest);
    k->number = number;
    free(manifest);
    xfree(list);
    net_act(n->net, before);
}

void node_cut(struct node *n, int64_t number)
{
    struct keeping *k = &n->own->keeping;
    if (k->writer && n->rank > 0 && number > k->number)
        cut(n, number);
}

int64_t node_cut_number(const struct node *n)
{
    return n->own->keeping.number + (n->own->keeping.announced > n->version);
}

int64_t node_last_cut(const struct node *n)
{
    return n->own->keeping.number;
}

static bool is_due(const struct node *n)
{
    const struct keeping *k = &n->own->keeping;
    struct checkpoint_every every = n->context->checkpoints.every;
    if (checkpoint_writer_is_busy(k->writer))
        return false;
    return (every.samples && n->samples / every.samples > k->last_samples / every.samples) ||
           (every.seconds > 0 && net_now(n->net) - k->last_s >= every.seconds);
}

static void cut_here(struct node *n)
{
    struct keeping *k = &n->own->keeping;
    k->announced = 0;
    k->last_s = net_now(n->net);
    k->last_samples = n->samples;
    k->version = n->version;
    if (n->own->evaluator.prepare) /* n->w is up to date */
        n->own->evaluator.prepare(n->own->evaluator.prepare_self);
    cut(n, k->number + 1);
    results_event(n->context->results, "checkpoint", n->own->clock.trained_s,
                  JSON_FIELDS(JSON_INT("version", n->version), JSON_INT("samples", n->samples)));
}

/* Without the state of a rank that is absent none would be whole. */
static bool are_all_there(const struct node *n)
{
    for (int rank = 0; rank < n->net->ranks; rank++)
        if (node_is_absent(n, rank))
            return false;
    return true;
}

bool keeping_lost(struct node *n)
{
    struct keeping *k = &n->own->keeping;
    if (k->writer)
        checkpoint_writer_give_up(k->writer);
    return k->writer;
}

void keeping_updated(struct node *n, bool ends)
{
    struct keeping *k = &n->own->keeping;
    if (!k->writer)
        return;
    bool announced = k->announced == n->version;
    if (announced || (n->ending != END_NOT_HERE && (ends || is_due(n)) && are_all_there(n)))
        cut_here(n);
    else if (n->ending == END_NOT_HERE && is_due(n))
        k->announced = n->version + 1;
}

void keeping_ended(struct node *n)
{
    const struct keeping *k = &n->own->keeping;
    bool ahead = k->elsewhere && n->context->options->target <= 0; /* parameter_server/monitor.c */
    if (k->writer && k->version != n->version && n->status != EXIT_NAN && !ahead &&
        are_all_there(n))
        cut_here(n);
}
