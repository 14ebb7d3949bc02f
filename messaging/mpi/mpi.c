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
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/launcher.h"

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
    .since_heard = mpi_since_heard,
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

static void at_exit(int code, void *unused)
{
    (void)unused;
    struct process *p = the_process;
    if (!p || (!code && p->matching)) /* a well-meant exit() in the middle of a run */
        return;
    the_process = NULL;
    process_end(p, code);
}

int mpi_join(void)
{
    struct process *p = the_process;
    if (p)
        return p->net.ranks;
    p = xcalloc(1, sizeof *p);
    p->net = (struct net){.world = "mpi", .calls = &mpi_calls, .piece = TRANSPORT_PIECE, .self = p};
    p->transport = transport_open(&p->net.rank, &p->net.ranks);
    launcher_check(p->net.ranks);
    the_process = p;
    on_exit(at_exit, NULL);
    return p->net.ranks;
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
    process_start(p, options);
    p->matching = matching_open(&p->net, p->segment, p->transport, p->local);
    if (options->progress_thread && p->remote_count)
        process_start_thread(p);

    body(&p->net, argument);

    process_depart(p);
    matching_close(p->matching);
    segment_close(p->segment);
    xfree(p->local);
    xfree(p->remote);
    xfree(p->endpoint);
    xfree(p->heard_ns);
    p->matching = NULL;
}
