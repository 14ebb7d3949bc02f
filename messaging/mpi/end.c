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
#define FINALIZE_S 5.0  /* the library may take this long to end, where there are several hosts */

/* Nobody is left to wait for. A rank of another host counts when it has missed two heartbeats. */
static bool all_gone(const struct process *p)
{
    for (int i = 0; i < p->net.ranks; i++)
        if (i != p->net.rank &&
            process_since_heard(p, i) < (p->remote[i] ? 2.5 * BEAT_S : INFINITY))
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
    transport_close(p->transport, p->remote_count ? FINALIZE_S : INFINITY, code);
    xfree(p);
}

/* Says that this rank is gone, and stays until the others have noticed, saved what they have and
 * come here too. The first one to come ends them all, so the others leave it a second. */
static void farewell(struct process *p)
{
    struct envelope e;
    int from;
    bool first = !any_gone(p);
    /* The progress thread may be in the library, half way through a call. */
    bool silent = p->thread.runs && pthread_mutex_trylock(&p->thread.lock);
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
 * of them: it shall be that of the cause. A mistake of the user's is everybody's: no need to wait.
 */
void process_end(struct process *p, int code)
{
    fflush(NULL);
    if (p->departed || !code) {
        end_well(p, code);
        return;
    }
    if (code != EXIT_USER && p->matching)
        farewell(p);
    nap(0.1); /* a launcher that is told to end all forgets what it has not read of our words */
    finalize_abort(code);
}

/* Others may still need this rank's answers. */
void process_depart(struct process *p)
{
    int rank = p->net.rank;
    process_lock(p);
    CHECK(!matching_references(p->matching), "the rank returned with %d sends under way",
          matching_references(p->matching));
    process_unlock(p);
    bool flushed = false, finished = false, all = false;
    while (!all) {
        process_lock(p);
        process_advance(p);
        flushed = segment_flush(p->segment) && !transport_in_flight(p->transport);
        if (flushed && !finished) {
            transport_finish(p->transport);
            finished = true;
        }
        all = finished && transport_all_finished(p->transport);
        process_unlock(p);
        for (int i = 0; !all && i < p->net.ranks; i++)
            if (i != rank && process_since_heard(p, i) == INFINITY)
                die(EXIT_SILENT, "rank %d on %s is gone before the end", i, p->endpoint[i].host);
        if (!all)
            process_rest(p, NAP_MOST_S, NAP_MOST_S);
    }
    process_stop_thread(p);
    transport_drain(p->transport);
    p->departed = true;
}
