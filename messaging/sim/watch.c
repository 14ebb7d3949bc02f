/* A disk that never answers ends a simulated run, too: all its ranks stand still in one call.
 *
 * Rule: what a rank calls busy (a file of weights, a checkpoint) is believed for ten deadlines, in
 * seconds of the real clock, as in the real world. A thread looks whether events go on. Seconds in
 * which the whole process is stopped do not count: it takes no look then. */
#include <stdio.h>
#include <unistd.h>

#include "base/wall_clock.h"
#include "messaging/sim/sim.h"

static const double tick_s = 0.5;

static void say(const struct net *net, double still_s, double most_s)
{
    const char *what = net->activity.what;
    if (still_s <= most_s) {
        fprintf(stderr,
                "nbsgd: rank %d on sim has been busy with %s for %.0f s; it is given %.0f s (%d "
                "deadlines)\n",
                net->rank, what, still_s, most_s, NET_BUSY_DEADLINES);
        return;
    }
    fprintf(stderr, "nbsgd: rank %d on sim: %s does not end for %.0f s; the run ends without it\n",
            net->rank, what, still_s);
    if (report_end)
        report_end(EXIT_SILENT);
    _exit(EXIT_SILENT); /* what exit() would flush lies on that disk */
}

static void *look(void *self)
{
    struct sim_watch *w = self;
    double most_s = NET_BUSY_DEADLINES * w->deadline_s, still_s = 0, said_s = 0;
    uint64_t last = 0;
    while (!latch_wait(&w->stop, (int64_t)(1e9 * (wall_s() + tick_s)))) {
        uint64_t beats = atomic_load(&w->beats);
        const struct net *busy = atomic_load(&w->busy);
        still_s = busy && beats == last ? still_s + tick_s : 0;
        said_s = still_s ? said_s : 0;
        last = beats;
        if (still_s <= w->deadline_s || (said_s && still_s <= most_s))
            continue;
        said_s = still_s;
        say(busy, still_s, most_s);
    }
    return NULL;
}

void sim_step(struct net *net)
{
    struct sim_watch *w = &((struct rank *)net->self)->sim->watch;
    atomic_store(&w->busy, net->activity.pace == NET_BUSY ? net : NULL);
    sim_beat(w);
}

void sim_watch_begin(struct sim *sim)
{
    struct sim_watch *w = &sim->watch;
    w->deadline_s = sim->options.deadline_s;
    if (!(w->deadline_s > 0))
        return;
    latch_begin(&w->stop);
    w->runs = true;
    int error = pthread_create(&w->thread, NULL, look, w);
    CHECK(!error, "no thread that watches: %d", error);
}

void sim_watch_end(struct sim *sim)
{
    struct sim_watch *w = &sim->watch;
    if (!w->runs)
        return;
    latch_open(&w->stop);
    pthread_join(w->thread, NULL);
    latch_end(&w->stop);
}
