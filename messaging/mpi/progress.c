/* How messages move on, and how a rank waits.
 *
 * A waiting rank takes no core: it sleeps until its doorbell rings. Where there are other hosts, or
 * MPI sums, it looks at the transport every 20 to 1,000 us (with a progress thread, that one
 * does). */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

/* Between two looks at the transport: after one that found nothing, and when nothing has come for
 * a while (NAP_MOST_S). 200 us slow a computing neighbour by 6 %, 1 ms by 2 %. */
#define NAP_LEAST_S 20e-6
#define NAP_GROWTH 1.1
/* Where every rank has a core: no nap within this of the last time something came ... */
#define BUSY_S 200e-6
/* ... and this before the sleep: a ring within it costs no system call. */
#define SPIN_S 4e-6
#define BACKLOG_S 1e-3  /* a full mailbox ring is tried again after this */
#define HEARTBEAT_S 1.0 /* a sleeping rank wakes for its heartbeat */

int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void nap(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * seconds)}, NULL);
}

void process_lock(struct process *p)
{
    if (p->thread.runs)
        pthread_mutex_lock(&p->thread.lock);
}

void process_unlock(struct process *p)
{
    if (p->thread.runs)
        pthread_mutex_unlock(&p->thread.lock);
}

static void handle(struct process *p, int from, const struct envelope *e)
{
    if (e->kind == ENVELOPE_ACCESS)
        p->accessed += e->header.count > 0 ? 1 : -1;
    else
        matching_handle(p->matching, from, e);
}

static void handle_remote(struct process *p, int from, const struct envelope *e, int64_t now_ns)
{
    if (p->heard_ns[from] != GONE)
        p->heard_ns[from] = now_ns;
    if (e->kind == ENVELOPE_GONE)
        p->heard_ns[from] = GONE;
    else if (e->kind == ENVELOPE_ALIVE)
        p->heard_ns[from] -= (int64_t)fmin(fmax((double)e->header.count, 0), 1e18);
    else
        handle(p, from, e);
}

/* Everything between hosts; true when something happened. The heartbeat is the program's, not
 * the progress thread's. */
static bool advance_mpi(struct process *p, int64_t now_ns)
{
    struct envelope e;
    int from;
    bool moved = transport_advance(p->transport);
    while (transport_take(p->transport, &from, &e)) {
        moved = true;
        handle_remote(p, from, &e, now_ns);
    }
    if (moved)
        matching_check_complete(p->matching);
    if (1e-9 * (double)(now_ns - p->clock.beat_ns) > BEAT_S) {
        p->clock.beat_ns = now_ns;
        e = (struct envelope){.kind = ENVELOPE_ALIVE, .header.count = now_ns - p->clock.alive_ns};
        for (int i = 0; i < p->net.ranks; i++)
            if (p->remote[i])
                transport_post(p->transport, i, &e);
    }
    return moved;
}

void process_notify_access(struct process *p, int owner, int by)
{
    const struct envelope e = {.header.count = by, .kind = ENVELOPE_ACCESS};
    process_lock(p);
    if (owner == p->net.rank)
        handle(p, owner, &e);
    else if (p->local[owner])
        segment_post(p->segment, owner, &e);
    else
        transport_post(p->transport, owner, &e);
    process_unlock(p);
}

/* Whether something comes or goes over MPI: there are other hosts, or MPI works for ranks of this
 * one. */
static bool uses_mpi(const struct process *p)
{
    return p->remote_count || transport_in_flight(p->transport);
}

bool process_advance(struct process *p)
{
    struct envelope e;
    int from;
    bool moved = false;
    p->clock.alive_ns = clock_ns();
    segment_alive(p->segment, p->clock.alive_ns);
    while (segment_take(p->segment, &from, &e))
        handle(p, from, &e);
    segment_flush(p->segment);
    if (uses_mpi(p))
        moved = advance_mpi(p, p->clock.alive_ns);
    matching_publish(p->matching);
    return moved;
}

/* Between two looks at the transport. What MPI takes step by step makes one step a look. */
static double longest_nap(const struct process *p)
{
    return p->accessed || transport_is_stepwise(p->transport) ? NAP_LEAST_S : NAP_MOST_S;
}

static void *progress_body(void *argument)
{
    struct process *p = argument;
    double pause = 0;
    while (!atomic_load(&p->thread.stop)) {
        process_lock(p);
        bool moved = advance_mpi(p, clock_ns());
        double most = longest_nap(p);
        process_unlock(p);
        if (moved)
            segment_ring(p->segment, p->net.rank);
        pause = moved ? 0 : fmin(fmax(NAP_GROWTH * pause, NAP_LEAST_S), most);
        if (pause > 0)
            nap(pause);
    }
    return NULL;
}

void process_rest(struct process *p, double most_s, double pause_s)
{
    if (p->spin) {
        int64_t begin = clock_ns();
        while (1e-9 * (double)(clock_ns() - begin) < fmin(most_s, SPIN_S))
            if (segment_rang(p->segment))
                return;
    }
    most_s = fmin(most_s, HEARTBEAT_S);
    if (!segment_flush(p->segment))
        most_s = fmin(most_s, BACKLOG_S);
    if (uses_mpi(p) && !p->thread.runs)
        most_s = fmin(most_s, pause_s);
    segment_sleep(p->segment, most_s);
}

int process_wait(struct process *p, struct request *const *list, int count,
                 const struct moving *payload, double until_s)
{
    int64_t moved_ns = 0;
    for (double pause = 0;;) {
        process_lock(p);
        bool moved = process_advance(p);
        int i = 0;
        while (i < count && !(list[i] && matching_done(list[i])))
            i++;
        bool there = payload && payload->moved == payload->bytes;
        double most = longest_nap(p);
        process_unlock(p);
        if (i < count || there)
            return there ? 0 : i;
        double left = until_s - 1e-9 * (double)(p->clock.alive_ns - p->clock.zero_ns);
        if (!(left > 0))
            return -1;
        if (moved)
            moved_ns = p->clock.alive_ns;
        bool busy = moved || (p->spin && uses_mpi(p) &&
                              1e-9 * (double)(p->clock.alive_ns - moved_ns) < BUSY_S);
        pause = busy ? 0 : fmin(fmax(NAP_GROWTH * pause, NAP_LEAST_S), most);
        if (pause > 0)
            process_rest(p, left, pause);
    }
}

double process_since_heard(const struct process *p, int rank)
{
    if (rank == p->net.rank)
        return 0;
    if (p->local[rank])
        return segment_since_heard(p->segment, rank, clock_ns());
    int64_t heard_ns = p->heard_ns[rank];
    return heard_ns == GONE ? INFINITY : fmax(0, 1e-9 * (double)(clock_ns() - heard_ns));
}

void process_start_thread(struct process *p)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    /* the end can come while this very thread holds it */
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&p->thread.lock, &kind);
    p->thread.runs = true;
    int error = pthread_create(&p->thread.thread, NULL, progress_body, p);
    CHECK(!error, "no progress thread: %s", strerror(error));
}

void process_stop_thread(struct process *p)
{
    if (!p->thread.runs)
        return;
    atomic_store(&p->thread.stop, true);
    pthread_join(p->thread.thread, NULL);
    p->thread.runs = false;
}
