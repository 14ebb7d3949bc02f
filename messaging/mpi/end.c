/* The end of a rank's world, well or badly. */
#define _GNU_SOURCE
#include "messaging/mpi/process.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/finalize.h"

#define FAREWELL_S 10.0 /* a rank that fails stays this long for the others to notice and save */
#define FINALIZE_S 5.0  /* the library may take this long to end */
#define CROWDED_S 120.0 /* and this much longer on one host, where it never hangs by itself */

/* Is there somebody who may come here, too? Not who is lost; a rank of another host is when it has
 * missed two heartbeats. Takes no lock. */
static bool may_come(struct process *p, int rank)
{
    if (rank == p->net.rank)
        return false;
    if (p->remote[rank])
        return process_since_heard(p, rank) < 2.5 * process_beat_s(p);
    const struct net_vitals v = process_vitals(p, rank);
    return !isinf(v.silent_s) && !net_vitals_are_lost(&p->net, &v);
}

static bool all_gone(struct process *p)
{
    for (int i = 0; i < p->net.ranks; i++)
        if (may_come(p, i))
            return false;
    return true;
}

static bool any_gone(const struct process *p)
{
    for (int i = 0; i < p->net.ranks; i++)
        if (p->local[i] ? segment_is_gone(p->segment, i) : p->heard_ns[i] == GONE)
            return true;
    return false;
}

/* exit() after the run, or where the world was joined for nothing (--help): only now is the exit
 * code known. */
static void end_well(struct process *p, int code)
{
    double longer_s = p->remote_count ? 0 : fmin(2 * p->net.deadline_s, CROWDED_S);
    start_watch_end(&p->watch);
    agreement_close(p->agreement);
    transport_close(p->transport, FINALIZE_S + longer_s, !p->remote_count, code);
    xfree(p);
}

/* Says that this rank is gone, and stays until the others have noticed, saved what they have and
 * come here too. The first one to come ends them all, so the others leave it a second. */
static void farewell(struct process *p)
{
    struct envelope e;
    int from;
    bool first = !any_gone(p);
    /* A thread may be in the library, half way through a call. */
    bool silent = p->locks && pthread_mutex_trylock(&p->lock);
    segment_set_gone(p->segment);
    if (!silent)
        transport_notify_gone(p->transport, p->remote, p->net.rank, p->net.ranks);
    for (int64_t begin = clock_ns();
         !all_gone(p) && 1e-9 * (double)(clock_ns() - begin) < FAREWELL_S; nap(10e-3))
        while (!silent && p->remote_count && transport_take(p->transport, &from, &e))
            if (e.kind == ENVELOPE_GONE)
                p->heard_ns[from] = GONE;
    if (!first)
        sleep(1);
}

/* The launcher ends all ranks as soon as one process ends badly, and gives the exit code of any one
 * of them: it shall be that of the cause. A mistake of the user's is everybody's, and a run that
 * is stopped has been saved: no need to wait. */
void process_end(struct process *p, int code)
{
    fflush(NULL);
    if (p->deserted) {
        nap(READ_S);
        finalize_abort(code);
    }
    if (p->departed || !code) {
        end_well(p, code);
        return;
    }
    if (code != EXIT_USER && code != EXIT_STOPPED && p->matching)
        farewell(p);
    nap(READ_S);
    finalize_abort(code);
}

/* Ends the run when another rank is gone, or lost. Looking for what is more than an end costs a
 * system call or two a rank. */
static void look_for_lost(struct process *p, double began_s, double *looked_s)
{
    double now_s = net_now(&p->net);
    char why[2 * NET_WHY];
    for (int i = 0; i < p->net.ranks; i++)
        if (i != p->net.rank && process_since_heard(p, i) == INFINITY)
            die(EXIT_SILENT, "rank %d on %s is gone before the end", i, p->endpoint[i].host);
    if (now_s < *looked_s + 1)
        return;
    *looked_s = now_s;
    for (int i = 0; i < p->net.ranks; i++)
        if (net_is_lost(&p->net, i, why))
            die(EXIT_SILENT, "%s; this rank has waited %.0f s for all to end", why,
                now_s - began_s);
    if (net_is_stuck(&p->net, NULL, why))
        die(EXIT_SILENT, "no rank goes on: %s; this rank has waited %.0f s for all to end", why,
            now_s - began_s);
}

/* Others may still need this rank's answers. Where a rank is absent it is rank 0 that ends all. */
static void await_others(struct process *p)
{
    bool flushed = false, finished = false, all = false;
    double began_s = net_now(&p->net), looked_s = began_s;
    while (!all && (!p->deserted || may_come(p, 0))) {
        process_lock(p);
        process_advance(p);
        flushed = segment_flush(p->segment) && !transport_in_flight(p->transport);
        if (flushed && !finished) {
            transport_finish(p->transport);
            finished = true;
        }
        all = finished && transport_all_finished(p->transport);
        process_unlock(p);
        if (all)
            return;
        if (!p->deserted)
            look_for_lost(p, began_s, &looked_s);
        process_rest(p, NAP_MOST_S, NAP_MOST_S);
    }
}

bool process_any_absent(const struct process *p)
{
    for (int i = 0; i < p->net.ranks; i++)
        if (p->absent[i])
            return true;
    return false;
}

/* The library can end with all ranks only. Where one is absent, all is done and written: rank 0
 * ends the run by force, with the code that it deserves, when its process ends; the others wait for
 * that. */
void process_depart(struct process *p)
{
    p->deserted = process_any_absent(p);
    process_lock(p);
    CHECK(p->deserted || !matching_references(p->matching),
          "the rank returned with %d sends under way", matching_references(p->matching));
    process_unlock(p);
    if (!p->deserted || p->net.rank) {
        net_act(&p->net, (struct net_activity){.pace = NET_WAITS, .what = "all ranks to end"});
        await_others(p);
    }
    process_stop_threads(p);
    if (!p->deserted)
        transport_drain(p->transport);
    p->departed = true;
}
