/* How messages move on, and how a rank waits.
 *
 * A waiting rank takes no core: it sleeps until its doorbell rings. Where there are other hosts, or
 * MPI sums, it looks at the transport every 20 to 1,000 us (with a progress thread, that one
 * does). Heartbeats are pulse.c's. */
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
    if (p->locks)
        pthread_mutex_lock(&p->lock);
}

void process_unlock(struct process *p)
{
    if (p->locks)
        pthread_mutex_unlock(&p->lock);
}

static void handle(struct process *p, int from, const struct envelope *e)
{
    if (e->kind == ENVELOPE_ACCESS)
        p->accessed += e->header.count > 0 ? 1 : -1;
    else
        matching_handle(p->matching, from, e);
}

static void note_signs(struct process *p, int from, const struct envelope *e, int64_t now_ns)
{
    struct alive_note note;
    header_unpack(&e->header, note);
    note.activity.what[sizeof note.activity.what - 1] = '\0';
    int64_t still_ns = note.still_ns < 0 ? 0 : note.still_ns < now_ns ? note.still_ns : now_ns;
    p->signs[from] = (struct remote_signs){now_ns, now_ns - still_ns, note.activity};
}

/* True for what is more than a heartbeat. */
static bool handle_remote(struct process *p, int from, const struct envelope *e, int64_t now_ns)
{
    if (p->heard_ns[from] != GONE)
        p->heard_ns[from] = now_ns;
    if (e->kind == ENVELOPE_GONE)
        p->heard_ns[from] = GONE;
    else if (e->kind == ENVELOPE_ALIVE)
        note_signs(p, from, e, now_ns);
    else
        handle(p, from, e);
    return e->kind != ENVELOPE_ALIVE && e->kind != ENVELOPE_GONE;
}

double process_beat_s(const struct process *p)
{
    return fmin(BEAT_S, p->net.deadline_s / 3);
}

/* A heartbeat to all other hosts, if one is due. */
static void beat(struct process *p, int64_t now_ns)
{
    struct envelope e = {.kind = ENVELOPE_ALIVE};
    const struct segment_signs own = segment_signs(p->segment, p->net.rank);
    const struct alive_note note = {now_ns - own.stepped_ns, own.activity};
    if (1e-9 * (double)(now_ns - p->clock.beat_ns) <= process_beat_s(p))
        return;
    p->clock.beat_ns = now_ns;
    header_pack(&e.header, note);
    for (int i = 0; i < p->net.ranks; i++)
        if (p->remote[i])
            transport_post(p->transport, i, &e);
}

/* Everything between hosts; true when something happened. What moves is a step, too: all ranks
 * may wait for one payload. */
static bool advance_mpi(struct process *p, int64_t now_ns)
{
    struct envelope e;
    int from;
    int64_t before = transport_moved(p->transport);
    bool moved = transport_advance(p->transport), goes_on = false;
    while (transport_take(p->transport, &from, &e)) {
        moved = true;
        goes_on |= handle_remote(p, from, &e, now_ns);
    }
    if (moved)
        matching_check_complete(p->matching);
    if (goes_on || transport_moved(p->transport) != before)
        segment_step(p->segment, now_ns);
    beat(p, now_ns);
    return moved;
}

bool process_advance_mpi(struct process *p)
{
    return advance_mpi(p, clock_ns());
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
        bool moved = process_advance_mpi(p);
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

static double age_s(const struct process *p, int64_t then_ns)
{
    int64_t now_ns = clock_ns();
    return fmax(0, 1e-9 * (double)(now_ns - pulse_forgiven(p, then_ns, now_ns)));
}

double process_since_heard(const struct process *p, int rank)
{
    if (rank == p->net.rank)
        return 0;
    int64_t heard_ns =
        p->local[rank] ? segment_signs(p->segment, rank).alive_ns : p->heard_ns[rank];
    return heard_ns == GONE ? INFINITY : age_s(p, heard_ns);
}

struct net_vitals process_vitals(struct process *p, int rank)
{
    struct net_vitals v = {.silent_s = process_since_heard(p, rank),
                           .process = p->endpoint[rank].segment.process};
    if (rank == p->net.rank || p->local[rank]) {
        const struct segment_signs signs = segment_signs(p->segment, rank);
        v.still_s = age_s(p, signs.stepped_ns);
        v.activity = signs.activity;
        return v;
    }
    process_lock(p);
    const struct remote_signs signs = p->signs[rank];
    process_unlock(p);
    v.still_s = fmax(0, age_s(p, signs.stepped_ns) - age_s(p, signs.noted_ns));
    v.activity = signs.activity;
    return v;
}

void process_act(struct process *p)
{
    segment_act(p->segment, &p->net.activity);
    segment_step(p->segment, clock_ns());
}

static void start_progress(struct process *p)
{
    p->thread.runs = true;
    int error = pthread_create(&p->thread.thread, NULL, progress_body, p);
    CHECK(!error, "no progress thread: %s", strerror(error));
}

static void stop_progress(struct process *p)
{
    if (!p->thread.runs)
        return;
    atomic_store(&p->thread.stop, true);
    pthread_join(p->thread.thread, NULL);
    p->thread.runs = false;
}

void process_start_threads(struct process *p, bool progress)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    /* the end can come while this very thread holds it */
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&p->lock, &kind);
    p->locks = p->remote_count && transport_threads(p->transport);
    if (p->locks && progress)
        start_progress(p);
    pulse_start(p);
}

void process_stop_threads(struct process *p)
{
    stop_progress(p);
    pulse_stop(p);
    p->locks = false;
}
