/* The real world: a rank is a process, time is the clock.
 *
 * Ranks of one host meet in shared memory and sleep on a doorbell there (segment.c); ranks of
 * different hosts talk MPI (transport.c); which message goes to which receive: matching.c; how
 * messages move and a rank waits: progress.c; the start and the end: start.c, end.c; windows:
 * rma_window.c. Here: the world's table. NBSGD_HOSTS=n, for tests, makes rank r live on pretended
 * host r % n. MPICH owns SIGUSR1. */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/launcher.h"

#define START_S 60.0   /* the start may take this long, where nobody says otherwise */
enum { REPORT_S = 3 }; /* a rank that fails is ended by rank 0 by then, or speaks itself */

/* For the handler of exit(), which may come after whatever its argument would point to. */
static struct process *the_process;

static struct request *mpi_send(struct net *net, int to, const struct header *header,
                                const void *payload, size_t bytes)
{
    struct process *p = net->self;
    process_lock(p);
    struct request *r = matching_send(p->matching, to, header, payload, bytes);
    process_unlock(p);
    return r;
}

static struct request *mpi_send_begin(struct net *net, int to, int tag, const void *payload,
                                      size_t bytes)
{
    struct process *p = net->self;
    process_lock(p);
    struct request *r = matching_send_begin(p->matching, to, tag, payload, bytes);
    process_unlock(p);
    return r;
}

static void mpi_send_ready(struct net *net, struct request *r, size_t from)
{
    struct process *p = net->self;
    process_lock(p);
    matching_send_ready(p->matching, r, from);
    process_unlock(p);
}

static void mpi_send_commit(struct net *net, struct request *r, const struct header *header)
{
    struct process *p = net->self;
    process_lock(p);
    matching_send_commit(p->matching, r, header);
    process_unlock(p);
}

static struct request *mpi_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    struct process *p = net->self;
    process_lock(p);
    struct request *r = matching_recv(p->matching, from, tag, into, capacity);
    process_unlock(p);
    return r;
}

static int mpi_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    return process_wait(net->self, list, count, NULL, until_s);
}

static void mpi_release(struct net *net, struct request *r)
{
    struct process *p = net->self;
    process_lock(p);
    matching_release(p->matching, r);
    process_unlock(p);
}

static const void *mpi_block(struct net *net, const struct request *r, size_t *bytes)
{
    struct process *p = net->self;
    process_lock(p);
    const void *block =
        segment_block(p->segment, matching_header(r)->from, matching_data(r), bytes);
    process_unlock(p);
    return block;
}

static struct net_passage mpi_passage(struct net *net, const struct request *r)
{
    struct process *p = net->self;
    process_lock(p);
    struct net_passage passage = matching_passage(p->matching, r);
    process_unlock(p);
    return passage;
}

static struct request *mpi_sum(struct net *net, int first, float *vector, int64_t count)
{
    struct process *p = net->self;
    process_lock(p);
    struct request *r = matching_sum(p->matching, first, vector, count);
    process_unlock(p);
    return r;
}

static double mpi_now(struct net *net)
{
    const struct process *p = net->self;
    return 1e-9 * (double)(clock_ns() - p->clock.zero_ns);
}

static void mpi_advance(struct net *net, double seconds)
{
    mpi_wait(net, NULL, 0, mpi_now(net) + seconds);
}

static void mpi_poll(struct net *net)
{
    struct process *p = net->self;
    process_lock(p);
    process_advance(p);
    process_unlock(p);
}

static void *mpi_alloc(struct net *net, size_t bytes)
{
    struct process *p = net->self;
    return segment_alloc(p->segment, bytes);
}

static void mpi_free(struct net *net, void *block)
{
    struct process *p = net->self;
    segment_free(p->segment, block);
}

static double mpi_since_heard(struct net *net, int rank)
{
    mpi_poll(net); /* heartbeats that have come and not been looked at count */
    return process_since_heard(net->self, rank);
}

static struct net_vitals mpi_vitals(struct net *net, int rank)
{
    mpi_poll(net);
    return process_vitals(net->self, rank);
}

static void mpi_step(struct net *net)
{
    process_act(net->self);
}

static void mpi_set_absent(struct net *net, int rank, bool absent)
{
    struct process *p = net->self;
    p->absent[rank] = absent;
}

static const char *mpi_host(struct net *net, int rank)
{
    const struct process *p = net->self;
    return p->endpoint[rank].host;
}

static const struct net_calls mpi_calls = {
    .send = mpi_send,
    .send_begin = mpi_send_begin,
    .send_ready = mpi_send_ready,
    .send_commit = mpi_send_commit,
    .recv = mpi_recv,
    .wait = mpi_wait,
    .header = matching_header,
    .data = matching_data,
    .passage = mpi_passage,
    .block = mpi_block,
    .release = mpi_release,
    .now = mpi_now,
    .advance = mpi_advance,
    .poll = mpi_poll,
    .alloc = mpi_alloc,
    .free = mpi_free,
    .watch = {.since_heard = mpi_since_heard,
              .vitals = mpi_vitals,
              .step = mpi_step,
              .set_absent = mpi_set_absent},
    .host = mpi_host,
    .window = {.open = mpi_window_open,
               .data = mpi_window_data,
               .get = mpi_window_get,
               .add = mpi_window_add,
               .close = mpi_window_close},
    .sum = mpi_sum,
};

bool mpi_takes_gpu(void)
{
    return transport_takes_gpu();
}

/* ---- the agreement at the start */

static void look(void *self)
{
    struct process *p = self;
    if (p->matching)
        process_advance(p);
}

/* Before there is a world nobody knows; the launcher ends all when one dies. */
static bool is_gone(void *self, int rank, char *why)
{
    struct process *p = self;
    return p->matching && net_is_lost(&p->net, rank, why);
}

/* Of several ranks that wait for rank 0 the first says that it has not come. */
static struct company company_of(struct process *p, double patience_s)
{
    return (struct company){.look = look,
                            .is_gone = is_gone,
                            .self = p,
                            .patience_s = patience_s + (p->net.rank > 1 ? REPORT_S : 0)};
}

static int join(double patience_s);

static void end_unless_agreed(int code, const char *line)
{
    if (code == EXIT_USER)
        fatal("%s", line);
    if (code)
        die(code, "%s", line);
}

int mpi_started(double patience_s)
{
    if (!mpi_launched()) {
        launcher_check(1);
        return 1;
    }
    int ranks = join(patience_s);
    struct process *p = the_process;
    if (ranks > 1)
        p->stage = START_JOINED;
    if (ranks > 1 && p->net.rank == 0)
        start_watch_await_files(&p->watch);
    return ranks;
}

int mpi_rank(void)
{
    return the_process ? the_process->net.rank : 0;
}

void mpi_hand_out(char **text, size_t *bytes)
{
    struct process *p = the_process;
    char line[FATAL_LINE];
    if (!p || !p->stage)
        return;
    const struct company company = company_of(p, p->watch.patience_s);
    start_watch_await_ranks(&p->watch);
    p->stage = START_HANDED;
    end_unless_agreed(agreement_hand_out(p->agreement, &company, text, bytes, line), line);
}

/* The lock is kept: no thread but this one calls MPI meanwhile. */
void mpi_agree(const char *held, double patience_s)
{
    struct process *p = the_process;
    char line[FATAL_LINE];
    if (!p || !p->stage)
        return;
    const struct company company = company_of(p, p->net.rank ? 2 * patience_s : patience_s);
    const struct net_activity waits = {.pace = NET_WAITS, .what = "all ranks to agree"};
    struct net_activity before = p->net.activity;
    if (p->matching)
        net_act(&p->net, waits);
    process_lock(p);
    int code = agreement_meet(p->agreement, &company, held, line);
    process_unlock(p);
    if (p->matching)
        net_act(&p->net, before);
    end_unless_agreed(code, line);
    p->stage = START_AGREED;
}

void mpi_report(const char *line)
{
    struct process *p = the_process;
    if (!p || !p->stage) {
        sleep(REPORT_S); /* rank 0 sees the same, and speaks first */
        return;
    }
    process_lock(p);
    agreement_report(p->agreement, line, REPORT_S);
    process_unlock(p);
}

/* A rank that only prints something (--help) ends before the others agree. Do they, too? */
static int leave_start(struct process *p)
{
    const struct company company = company_of(p, p->watch.patience_s);
    char line[FATAL_LINE] = "", *nothing = NULL;
    size_t bytes = 0;
    int code = 0;
    start_watch_await_ranks(&p->watch);
    if (p->stage == START_JOINED)
        code = agreement_hand_out(p->agreement, &company, &nothing, &bytes, line);
    if (!code)
        code = agreement_meet(p->agreement, &company, "command\tprint\n", line);
    if (code)
        fprintf(stderr, "nbsgd: %s\n", line);
    return code;
}

static void at_exit(int code, void *unused)
{
    (void)unused;
    struct process *p = the_process;
    if (!p || (!code && p->matching && !p->departed)) /* a well-meant exit() in a run */
        return;
    the_process = NULL;
    if (!code && (p->stage == START_JOINED || p->stage == START_HANDED))
        code = leave_start(p);
    process_end(p, code);
}

static int join(double patience_s)
{
    struct process *p = the_process;
    if (p)
        return p->net.ranks;
    p = xcalloc(1, sizeof *p);
    p->net = (struct net){.world = "mpi",
                          .calls = &mpi_calls,
                          .piece = TRANSPORT_PIECE,
                          .deadline_s = INFINITY,
                          .self = p};
    start_watch_begin(&p->watch, patience_s);
    p->transport = transport_open(&p->net.rank, &p->net.ranks);
    launcher_check(p->net.ranks);
    p->agreement = agreement_open();
    if (p->net.ranks == 1) /* there is nobody to wait for, and perhaps no mpi_run() */
        start_watch_end(&p->watch);
    the_process = p;
    on_exit(at_exit, NULL);
    return p->net.ranks;
}

int mpi_join(void)
{
    return join(START_S);
}

void mpi_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument)
{
    mpi_join();
    struct process *p = the_process;
    assert(!p->matching && !p->departed && "the world runs only once");
    CHECK(!options->progress_thread || transport_threads(p->transport),
          "this MPI gives no support for a progress thread; use --progress poll");
    p->net.gpu_aware = options->gpu && strcmp(options->gpu, "auto") != 0
                           ? !strcmp(options->gpu, "yes")
                           : transport_takes_gpu();
    if (options->deadline_s > 0)
        p->net.deadline_s = options->deadline_s;
    transport_set_patience(p->transport, p->net.deadline_s + (p->net.rank ? GRACE_S : 0));
    process_start(p, options);
    start_watch_end(&p->watch);
    p->net.absent = p->absent;
    p->matching = matching_open(&p->net, p->segment, p->transport, p->local);
    process_start_threads(p, options->progress_thread);

    body(&p->net, argument);

    process_depart(p);
    if (p->deserted)
        return; /* what the absent rank may still read stays */
    matching_close(p->matching);
    segment_close(p->segment);
    xfree(p->local);
    xfree(p->remote);
    xfree(p->endpoint);
    xfree(p->heard_ns);
    xfree(p->signs);
    xfree(p->absent);
    p->matching = NULL;
}
