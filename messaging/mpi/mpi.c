/* The real world: a rank is a process, time is the clock.
 *
 * Ranks of one host meet in shared memory and sleep on a doorbell there (messaging/mpi/segment.c);
 * ranks of different hosts talk MPI (messaging/mpi/transport.c); which message goes to which
 * receive is messaging/mpi/matching.c; regions are messaging/mpi/rma_window.c. Here: who is whose
 * local_rank, waiting, signs of life, the progress thread, and the end. A waiting rank takes no
 * core: it sleeps until it is rung, and where there are other hosts, or MPI sums, it looks at the
 * transport every 20 to 1,000 us (with a progress thread, that one does). NBSGD_HOSTS=n, for tests,
 * makes rank r live on pretended host r % n. MPICH owns SIGUSR1. */
#define _GNU_SOURCE
#include "messaging/mpi/mpi.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/finalize.h"

#define NAP_LEAST_S                                                                                \
    20e-6 /* between two looks at the transport: after one that found nothing ...  \
                           */
#define NAP_MOST_S                                                                                 \
    1e-3 /* ... and when nothing has come for a while; 200 us slow a computing neighbour by 6 %, 1 \
            ms by 2 % */
#define NAP_GROWTH 1.1
#define BUSY_S                                                                                     \
    200e-6 /* where every rank has a core: no nap within this of the last time something came */
#define SPIN_S                                                                                     \
    4e-6 /* where every rank has a core, before the sleep: a ring within it costs no system call   \
          */
#define BACKLOG_S 1e-3 /* a full mailbox ring is tried again after this */
#define SIGN_S 1.0     /* a sleeping rank wakes to give a sign of life ... */
#define BEAT_S 4.0     /* ... and gives it to other hosts this often */
#define FAREWELL_S                                                                                 \
    10.0 /* a rank that fails stays this long for the others to notice, save and leave */
#define FINALIZE_S 5.0 /* the library may take this long to end, where there are several hosts */

#define GONE INT64_MIN

static struct world
    *the_world; /* for the handler of exit(), which takes no argument that could end before it */

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void nap(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * seconds)}, NULL);
}

void mpi_enter(struct world *w)
{
    if (w->threaded)
        pthread_mutex_lock(&w->lock);
}

void mpi_quit(struct world *w)
{
    if (w->threaded)
        pthread_mutex_unlock(&w->lock);
}

static double seconds_now(const struct world *w)
{
    return 1e-9 * (double)(clock_ns() - w->zero_ns);
}

/* ---- messages move on */

static void hear(struct world *w, int from, const struct envelope *e)
{
    if (e->kind == ENVELOPE_REACH)
        w->reached += e->header.count > 0 ? 1 : -1;
    else
        matching_hear(w->matching, from, e);
}

static void hear_far(struct world *w, int from, const struct envelope *e, int64_t now_ns)
{
    if (w->heard_ns[from] != GONE)
        w->heard_ns[from] = now_ns;
    if (e->kind == ENVELOPE_GONE)
        w->heard_ns[from] = GONE;
    else if (e->kind == ENVELOPE_ALIVE)
        w->heard_ns[from] -= (int64_t)fmin(fmax((double)e->header.count, 0), 1e18);
    else
        hear(w, from, e);
}

/* Everything between hosts; true when something happened. The sign of life is the program's, not
 * the progress thread's. */
static bool carry(struct world *w, int64_t now_ns)
{
    struct envelope e;
    int from;
    bool moved = transport_advance(w->transport);
    while (transport_take(w->transport, &from, &e)) {
        moved = true;
        hear_far(w, from, &e, now_ns);
    }
    if (moved)
        matching_settle(w->matching);
    if (1e-9 * (double)(now_ns - w->beat_ns) > BEAT_S) {
        w->beat_ns = now_ns;
        e = (struct envelope){.kind = ENVELOPE_ALIVE, .header.count = now_ns - w->alive_ns};
        for (int i = 0; i < w->net.ranks; i++)
            if (w->remote[i])
                transport_put(w->transport, i, &e);
    }
    return moved;
}

void mpi_reach(struct world *w, int owner, int by)
{
    const struct envelope e = {.header.count = by, .kind = ENVELOPE_REACH};
    mpi_enter(w);
    if (owner == w->net.rank)
        hear(w, owner, &e);
    else if (w->local[owner])
        segment_put(w->segment, owner, &e);
    else
        transport_put(w->transport, owner, &e);
    mpi_quit(w);
}

/* Whether something comes or goes over MPI: there are other hosts, or MPI works for ranks of this
 * one. */
static bool wired(const struct world *w)
{
    return w->remote_count || transport_moving(w->transport);
}

/* A sign of life, and everything that can move moves. True when something between hosts did. */
static bool advance(struct world *w)
{
    struct envelope e;
    int from;
    bool moved = false;
    w->alive_ns = clock_ns();
    segment_alive(w->segment, w->alive_ns);
    while (segment_take(w->segment, &from, &e))
        hear(w, from, &e);
    segment_flush(w->segment);
    if (wired(w))
        moved = carry(w, w->alive_ns);
    matching_publish(w->matching);
    return moved;
}

/* Between two looks at the transport. What MPI takes step by step makes one step a look. */
static double longest_nap(const struct world *w)
{
    return w->reached || transport_hurries(w->transport) ? NAP_LEAST_S : NAP_MOST_S;
}

static void *keep_moving(void *argument)
{
    struct world *w = argument;
    double pause = 0;
    while (!atomic_load(&w->stop)) {
        mpi_enter(w);
        bool moved = carry(w, clock_ns());
        double most = longest_nap(w);
        mpi_quit(w);
        if (moved)
            segment_ring(w->segment, w->net.rank);
        pause = moved ? 0 : fmin(fmax(NAP_GROWTH * pause, NAP_LEAST_S), most);
        if (pause > 0)
            nap(pause);
    }
    return NULL;
}

/* Sleeps until there is something to look at, at most `most` seconds. */
static void rest(struct world *w, double most, double pause)
{
    if (w->spin) {
        int64_t begin = clock_ns();
        while (1e-9 * (double)(clock_ns() - begin) < fmin(most, SPIN_S))
            if (segment_rang(w->segment))
                return;
    }
    most = fmin(most, SIGN_S);
    if (!segment_flush(w->segment))
        most = fmin(most, BACKLOG_S);
    if (wired(w) && !w->threaded)
        most = fmin(most, pause);
    segment_sleep(w->segment, most);
}

/* ---- the table */

static struct request *mpi_send(struct net *net, int to, const struct header *head,
                                const void *payload, size_t bytes)
{
    struct world *w = net->self;
    mpi_enter(w);
    struct request *r = matching_send(w->matching, to, head, payload, bytes);
    mpi_quit(w);
    return r;
}

static struct request *mpi_begin(struct net *net, int to, int tag, const void *payload,
                                 size_t bytes)
{
    struct world *w = net->self;
    mpi_enter(w);
    struct request *r = matching_begin(w->matching, to, tag, payload, bytes);
    mpi_quit(w);
    return r;
}

static void mpi_grow(struct net *net, struct request *r, size_t from, const struct header *head)
{
    struct world *w = net->self;
    mpi_enter(w);
    matching_grow(w->matching, r, from, head);
    mpi_quit(w);
}

static struct request *mpi_recv(struct net *net, int from, int tag, void *into, size_t capacity)
{
    struct world *w = net->self;
    mpi_enter(w);
    struct request *r = matching_recv(w->matching, from, tag, into, capacity);
    mpi_quit(w);
    return r;
}

/* Until one of the list is done (its index), or the payload has moved (0), or that time (-1). */
static int wait_for(struct world *w, struct request *const *list, int count,
                    const struct moving *payload, double until_s)
{
    int64_t moved_ns = 0;
    for (double pause = 0;;) {
        mpi_enter(w);
        bool moved = advance(w);
        int i = 0;
        while (i < count && !(list[i] && matching_done(list[i])))
            i++;
        bool there = payload && payload->moved == payload->bytes;
        double most = longest_nap(w);
        mpi_quit(w);
        if (i < count || there)
            return there ? 0 : i;
        double left = until_s - 1e-9 * (double)(w->alive_ns - w->zero_ns);
        if (!(left > 0))
            return -1;
        if (moved)
            moved_ns = w->alive_ns;
        bool busy =
            moved || (w->spin && wired(w) && 1e-9 * (double)(w->alive_ns - moved_ns) < BUSY_S);
        pause = busy ? 0 : fmin(fmax(NAP_GROWTH * pause, NAP_LEAST_S), most);
        if (pause > 0)
            rest(w, left, pause);
    }
}

static int mpi_wait(struct net *net, struct request *const *list, int count, double until_s)
{
    return wait_for(net->self, list, count, NULL, until_s);
}

bool mpi_await(struct world *w, const struct moving *payload, double until_s)
{
    return wait_for(w, NULL, 0, payload, until_s) == 0;
}

static struct request *mpi_sum(struct net *net, int first, float *vector, int64_t count)
{
    struct world *w = net->self;
    mpi_enter(w);
    struct request *r = matching_sum(w->matching, first, vector, count);
    mpi_quit(w);
    return r;
}

static void mpi_drop(struct net *net, struct request *r)
{
    struct world *w = net->self;
    mpi_enter(w);
    matching_drop(w->matching, r);
    mpi_quit(w);
}

static double mpi_now(struct net *net)
{
    return seconds_now(net->self);
}

static void mpi_spend(struct net *net, double seconds)
{
    mpi_wait(net, NULL, 0, mpi_now(net) + seconds);
}

static void mpi_poll(struct net *net)
{
    struct world *w = net->self;
    mpi_enter(w);
    advance(w);
    mpi_quit(w);
}

static void *mpi_alloc(struct net *net, size_t bytes)
{
    struct world *w = net->self;
    return segment_alloc(w->segment, bytes);
}

static void mpi_free(struct net *net, void *block)
{
    segment_free(((struct world *)net->self)->segment, block);
}

static double silence(const struct world *w, int rank)
{
    if (rank == w->net.rank)
        return 0;
    if (w->local[rank])
        return segment_silence(w->segment, rank, clock_ns());
    return w->heard_ns[rank] == GONE ? INFINITY
                                     : fmax(0, 1e-9 * (double)(clock_ns() - w->heard_ns[rank]));
}

static double mpi_silence(struct net *net, int rank)
{
    mpi_poll(net); /* signs of life that have come and not been looked at count */
    return silence(net->self, rank);
}

static const char *mpi_host(struct net *net, int rank)
{
    return ((const struct world *)net->self)->endpoint[rank].host;
}

static const struct net_world mpi_world = {
    .name = "mpi",
    .send = mpi_send,
    .begin = mpi_begin,
    .grow = mpi_grow,
    .recv = mpi_recv,
    .wait = mpi_wait,
    .header = matching_header,
    .data = matching_data,
    .drop = mpi_drop,
    .now = mpi_now,
    .spend = mpi_spend,
    .poll = mpi_poll,
    .alloc = mpi_alloc,
    .free = mpi_free,
    .silence = mpi_silence,
    .block = mpi_block,
    .host = mpi_host,
    .window_open = mpi_window_open,
    .window_data = mpi_window_data,
    .window_get = mpi_window_get,
    .window_add = mpi_window_add,
    .window_close = mpi_window_close,
    .sum = mpi_sum,
};

/* ---- the start */

static int pretended_hosts(void)
{
    const char *text = getenv("NBSGD_HOSTS");
    if (!text || !*text)
        return 1;
    char *end;
    long hosts = strtol(text, &end, 10);
    if (*end || hosts < 1 || hosts > 1 << 20)
        fatal("NBSGD_HOSTS=%s is no number of hosts; unset it, or give 1 or more (rank r then "
              "lives on pretended host r %% n)",
              text);
    return (int)hosts;
}

/* Who shares memory with us: the same host by name, and each has opened the other's file. */
static void find_mates(struct world *w)
{
    int rank = w->net.rank, ranks = w->net.ranks, hosts = pretended_hosts();
    struct endpoint *own = xcalloc(1, sizeof *own);
    w->segment = segment_open(rank, ranks, &own->segment);
    gethostname(own->host, 64); /* Linux has no longer ones; name_hosts() needs room behind it */
    own->cores = core_set_own();
    own->available = cores_available();
    w->endpoint = xcalloc((size_t)ranks, sizeof *w->endpoint);
    transport_gather(w->transport, own, w->endpoint, sizeof *own);
    bool *met = xcalloc((size_t)ranks, sizeof *met), *found = xcalloc((size_t)ranks, sizeof *found);
    for (int i = 0; i < ranks; i++)
        met[i] = i != rank && !strcmp(w->endpoint[i].host, own->host) &&
                 segment_meet(w->segment, i, &w->endpoint[i].segment);
    transport_swap(w->transport, met, found);
    w->local = xcalloc((size_t)ranks, sizeof *w->local);
    w->remote = xcalloc((size_t)ranks, sizeof *w->remote);
    for (int i = 0; i < ranks; i++) {
        w->local[i] = met[i] && found[i] && i % hosts == rank % hosts;
        w->remote[i] = i != rank && !w->local[i];
        w->remote_count += w->remote[i];
    }
    segment_keep(w->segment, w->local);
    xfree(met);
    xfree(found);
    xfree(own);
}

/* Gives each rank of the host its own cores where there are enough, and the launcher has not done
 * so. */
static void find_cores(struct world *w, const struct world_options *options)
{
    const struct endpoint *own = &w->endpoint[w->net.rank];
    struct core_set all = own->cores;
    int before = 0, local_ranks = 0, available = own->available;
    bool alike = true;
    for (int i = 0; i < w->net.ranks; i++) {
        if (strcmp(w->endpoint[i].host, own->host) != 0)
            continue;
        local_ranks++;
        before += i < w->net.rank;
        alike = alike && core_set_equal(&w->endpoint[i].cores, &own->cores);
        all = core_set_union(&all, &w->endpoint[i].cores);
    }
    /* Cores of one's own: a quota may still be shared. */
    if (!alike && available == core_set_count(&own->cores))
        available = core_set_count(&all);
    int each = alike ? available / local_ranks : own->available;
    w->net.cores = each > 0 ? each : 1;
    w->net.local_rank = before;
    int threads = options->threads > 0 ? options->threads : w->net.cores;
    w->spin = local_ranks * threads <= available;
    if (options->pin && alike && w->spin && !cores_pin(before, local_ranks, threads))
        fprintf(stderr,
                "nbsgd: rank %d cannot be pinned to its cores; it runs where the system puts it\n",
                w->net.rank);
}

/* Only now, since ranks on pretended hosts share cores. */
static void name_hosts(struct world *w)
{
    int hosts = pretended_hosts();
    for (int i = 0; i < w->net.ranks && hosts > 1; i++)
        snprintf(strchr(w->endpoint[i].host, 0), sizeof w->endpoint[i].host - 64, "/%d", i % hosts);
}

/* All clocks show 0 when the last rank has come; on one host they are one clock. */
static void zero_clock(struct world *w)
{
    int64_t *zero = xcalloc((size_t)w->net.ranks, sizeof *zero);
    transport_barrier(w->transport);
    w->zero_ns = clock_ns();
    transport_gather(w->transport, &w->zero_ns, zero, sizeof *zero);
    for (int i = 0; i < w->net.rank; i++)
        if (w->local[i] && zero[i] < w->zero_ns)
            w->zero_ns = zero[i];
    w->alive_ns = w->beat_ns = clock_ns();
    segment_alive(w->segment, w->alive_ns);
    w->heard_ns = xcalloc((size_t)w->net.ranks, sizeof *w->heard_ns);
    for (int i = 0; i < w->net.ranks; i++)
        w->heard_ns[i] = w->alive_ns;
    /* nobody looks for a sign of life that has not been given yet */
    transport_barrier(w->transport);
    xfree(zero);
}

/* ---- the end */

/* Nobody is left to wait for: of another host's ranks, also those that have missed two signs of
 * life. */
static bool all_gone(const struct world *w)
{
    for (int i = 0; i < w->net.ranks; i++)
        if (i != w->net.rank && silence(w, i) < (w->remote[i] ? 2.5 * BEAT_S : INFINITY))
            return false;
    return true;
}

static bool any_left(const struct world *w)
{
    for (int i = 0; i < w->net.ranks; i++)
        if (w->local[i] ? segment_left(w->segment, i) : w->heard_ns[i] == GONE)
            return true;
    return false;
}

/* exit() after the world has been left, or was joined for nothing (--help): only now is the exit
 * code known. */
static void end_well(struct world *w, int code)
{
    transport_close(w->transport, w->remote_count ? FINALIZE_S : INFINITY, code);
    xfree(w);
}

/* exit() was called while the world stood. The launcher ends everybody as soon as one process ends
 * badly, and gives the exit code of any one of them. So this rank says that it is gone and stays
 * until the others have noticed it by net_since_heard(), saved what they have and come here too;
 * the first one to come ends them all, so that the launcher's exit code is that of the cause. A
 * mistake of the user's is everybody's: no need to wait. */
static void end_badly(int code, void *unused)
{
    (void)unused;
    struct world *w = the_world;
    if (!w || (!code && w->matching))
        return;
    the_world = NULL;
    fflush(NULL);
    if (w->departed || !code) {
        end_well(w, code);
        return;
    }
    if (code != EXIT_USER && w->matching) {
        bool cause = !any_left(w), quiet = w->threaded && pthread_mutex_trylock(&w->lock);
        segment_leave(w->segment);
        if (!quiet)
            transport_farewell(w->transport, w->remote, w->net.rank, w->net.ranks);
        struct envelope e;
        int from;
        for (int64_t begin = clock_ns();
             !all_gone(w) && 1e-9 * (double)(clock_ns() - begin) < FAREWELL_S; nap(10e-3))
            while (!quiet && w->remote_count && transport_take(w->transport, &from, &e))
                if (e.kind == ENVELOPE_GONE)
                    w->heard_ns[from] = GONE;
        if (!cause)
            sleep(1);
    }
    nap(0.1); /* the launcher forgets what it has not read of our words when it is told to end all
               */
    finalize_abort(code);
}

/* Stays until everybody has come to the end: others may still need our answers. */
static void depart(struct world *w)
{
    int rank = w->net.rank;
    mpi_enter(w);
    CHECK(!matching_loans(w->matching), "the rank returned with %d sends that are not done",
          matching_loans(w->matching));
    mpi_quit(w);
    bool flushed = false, told = false, all = false;
    while (!all) {
        mpi_poll(&w->net);
        mpi_enter(w);
        flushed = segment_flush(w->segment) && !transport_moving(w->transport);
        if (flushed && !told) {
            transport_leave(w->transport);
            told = true;
        }
        all = told && transport_left(w->transport);
        mpi_quit(w);
        for (int i = 0; !all && i < w->net.ranks; i++)
            if (i != rank && silence(w, i) == INFINITY)
                die(EXIT_SILENT, "rank %d on %s has gone before the end", i, w->endpoint[i].host);
        if (!all)
            rest(w, NAP_MOST_S, NAP_MOST_S);
    }
    if (w->threaded) {
        atomic_store(&w->stop, true);
        pthread_join(w->thread, NULL);
        w->threaded = false;
    }
    transport_drain(w->transport);
    w->departed = true;
}

static void start_thread(struct world *w)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    /* the end can come while this very thread holds it */
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&w->lock, &kind);
    w->threaded = true;
    int error = pthread_create(&w->thread, NULL, keep_moving, w);
    CHECK(!error, "no progress thread: %s", strerror(error));
}

bool mpi_takes_gpu(void)
{
    return transport_takes_gpu();
}

int mpi_join(void)
{
    struct world *w = the_world;
    if (!w) {
        w = xcalloc(1, sizeof *w);
        w->net = (struct net){.world = &mpi_world, .piece = TRANSPORT_PIECE, .self = w};
        w->transport = transport_open(&w->net.rank, &w->net.ranks);
        the_world = w;
        on_exit(end_badly, NULL);
    }
    return w->net.ranks;
}

void mpi_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument)
{
    mpi_join();
    struct world *w = the_world;
    assert(!w->matching && !w->departed && "the world runs only once");
    CHECK(!options->progress_thread || transport_threads(w->transport),
          "this MPI gives no support for a progress thread; use --progress poll");
    w->net.gpu_aware = options->gpu && strcmp(options->gpu, "auto") != 0
                           ? !strcmp(options->gpu, "yes")
                           : transport_takes_gpu();
    find_mates(w);
    find_cores(w, options);
    name_hosts(w);
    zero_clock(w);
    w->matching = matching_open(&w->net, w->segment, w->transport, w->local);
    if (options->progress_thread && w->remote_count)
        start_thread(w);

    body(&w->net, argument);

    depart(w);
    matching_close(w->matching);
    segment_close(w->segment);
    xfree(w->local);
    xfree(w->remote);
    xfree(w->endpoint);
    xfree(w->heard_ns);
    w->matching = NULL;
}
