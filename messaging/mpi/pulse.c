/* The heartbeat: a thread of its own, so that it beats while the program computes, reads or waits,
 * and stops only with the whole process. What the program itself does it says by steps
 * (net_step()).
 *
 * The same thread sees when the process has stood still: its own naps have become long. Then the
 * whole job may have (Ctrl-Z, gang scheduling, a laptop's lid), and nobody is blamed for that time:
 * all silences count from then. A rank that does not go on with the others is lost a deadline
 * later.
 *
 * It also says when this rank has been busy for a deadline. Rank 0, which nobody else could name
 * and save, ends the run after NET_BUSY_DEADLINES of them. */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "messaging/mpi/finalize.h"

static const int64_t second_ns = 1000000000;
static const double tick_s = 0.5;           /* or a quarter of the deadline */
static const int64_t still_ns = 2500000000; /* a nap as long as that was no nap */

int64_t pulse_forgiven(const struct process *p, int64_t then_ns, int64_t now_ns)
{
    const struct pulse *u = &p->pulse;
    int64_t resumed_ns = atomic_load(&u->resumed_ns);
    if (u->runs && now_ns - atomic_load(&u->ticked_ns) > still_ns)
        return now_ns; /* the thread has not looked yet */
    return then_ns > resumed_ns ? then_ns : resumed_ns;
}

static void look_for_suspension(struct process *p, int64_t now_ns)
{
    struct pulse *u = &p->pulse;
    int64_t gap_ns = now_ns - atomic_load(&u->ticked_ns);
    if (gap_ns > still_ns) {
        atomic_store(&u->resumed_ns, now_ns);
        if (p->net.rank == 0)
            fprintf(stderr,
                    "nbsgd: this job stood still for %.0f s (suspended?); no rank is blamed for "
                    "that time\n",
                    (double)gap_ns / (double)second_ns);
    }
    atomic_store(&u->ticked_ns, now_ns);
}

/* Beyond a deadline: says it, once. */
static void look_at_busy(struct process *p, int64_t now_ns)
{
    struct pulse *u = &p->pulse;
    const struct segment_signs own = segment_signs(p->segment, p->net.rank);
    int64_t begun_ns = own.stepped_ns;
    double busy_s = (double)(now_ns - pulse_forgiven(p, begun_ns, now_ns)) / (double)second_ns,
           most_s = NET_BUSY_DEADLINES * p->net.deadline_s;
    const char *what = own.activity.what;
    if (own.activity.pace != NET_BUSY || busy_s <= p->net.deadline_s)
        return;
    if (u->said_ns != begun_ns)
        fprintf(stderr,
                "nbsgd: rank %d on %s has been busy with %s for %.0f s; it is given %.0f s (%d "
                "deadlines)\n",
                p->net.rank, p->endpoint[p->net.rank].host, what, busy_s, most_s,
                NET_BUSY_DEADLINES);
    u->said_ns = begun_ns;
    if (busy_s <= most_s || p->net.rank > 0)
        return;
    fprintf(stderr, "nbsgd: rank %d on %s: %s does not end for %.0f s; the run ends without it\n",
            p->net.rank, p->endpoint[p->net.rank].host, what, busy_s);
    if (report_end)
        report_end(EXIT_SILENT);
    nap(READ_S);
    finalize_abort(EXIT_SILENT);
}

/* Heartbeats to other hosts; not where the program is in the library already. */
static void beat_remotely(struct process *p)
{
    if (!p->locks || pthread_mutex_trylock(&p->lock))
        return;
    bool moved = process_advance_mpi(p);
    process_unlock(p);
    if (moved)
        segment_ring(p->segment, p->net.rank);
}

static void *pulse_body(void *argument)
{
    struct process *p = argument;
    const int64_t tick_ns = (int64_t)(1e9 * fmin(tick_s, p->net.deadline_s / 4));
    do {
        int64_t now_ns = clock_ns();
        segment_alive(p->segment, now_ns);
        look_for_suspension(p, now_ns);
        look_at_busy(p, now_ns);
        beat_remotely(p);
    } while (!latch_wait(&p->pulse.stop, clock_ns() + tick_ns));
    return NULL;
}

void pulse_start(struct process *p)
{
    struct pulse *u = &p->pulse;
    atomic_store(&u->ticked_ns, clock_ns());
    latch_begin(&u->stop);
    u->runs = true;
    int error = pthread_create(&u->thread, NULL, pulse_body, p);
    CHECK(!error, "no thread for heartbeats: %s", strerror(error));
}

void pulse_stop(struct process *p)
{
    struct pulse *u = &p->pulse;
    if (!u->runs)
        return;
    latch_open(&u->stop);
    pthread_join(u->thread, NULL);
    latch_end(&u->stop);
    u->runs = false;
}
