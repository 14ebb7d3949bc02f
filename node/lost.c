/* Ranks that are lost, and what becomes of the run.
 *
 * A rank that is lost (net_is_lost()) ends the run, or, where the scheme can go on without it, is
 * absent: rank 0 waits for it no more, computes its shards of evaluations, and takes it back when
 * it pushes again. The run ends, too, when no rank goes on: a message that nobody sends. Rank 0
 * speaks first: it says what is kept, and writes the newest weights. */
#include <math.h>

#include "base/check.h"
#include "node/private.h"

/* All need `peer`, whom they wait for: in an evaluation it may have departed. A worker needs its
 * servers, too, a server everybody who has not departed. */
static bool is_needed(const struct node *n, int rank, int peer)
{
    const struct control *c = &n->own->control;
    return rank != n->rank && !c->absent[rank] &&
           (rank == peer || (rank < c->watched && !c->departed[rank]));
}

void node_on_absence(struct node *n, bool (*absent)(void *self, int rank), void *self)
{
    n->own->control.on_absence = absent;
    n->own->control.absence_self = self;
}

bool node_is_absent(const struct node *n, int rank)
{
    return n->own->control.absent[rank];
}

void node_set_absent(struct node *n, int rank, bool absent)
{
    n->own->control.absent[rank] = absent;
    net_set_absent(n->net, rank, absent);
}

/* The run goes on without it, if the scheme can. */
static bool goes_on_without(struct node *n, int rank, const char *why)
{
    struct control *c = &n->own->control;
    if (!c->on_absence || !c->on_absence(c->absence_self, rank))
        return false;
    node_set_absent(n, rank, true);
    fprintf(stderr, "nbsgd: %s: the run goes on without it%s\n", why,
            keeping_lost(n) ? ", and makes no checkpoint until it is back" : "");
    results_event(n->context->results, "absent", node_clock(n),
                  JSON_FIELDS(JSON_INT("rank", rank)));
    return true;
}

void node_take_back(struct node *n, int rank)
{
    if (!n->own->control.absent[rank])
        return;
    node_set_absent(n, rank, false);
    fprintf(stderr, "nbsgd: rank %d on %s is back\n", rank, net_host(n->net, rank));
    results_event(n->context->results, "back", node_clock(n), JSON_FIELDS(JSON_INT("rank", rank)));
}

static _Noreturn void end_run(struct node *n, const char *who, const char *what, double waited_s)
{
    char kept[200] = "", saved[60] = "";
    if (n->context->results) {
        const struct evaluation *e = &n->own->evaluator.last;
        if (saving_newest(n))
            snprintf(saved, sizeof saved, ", and the weights of update %lld",
                     (long long)n->version);
        snprintf(kept, sizeof kept,
                 ". Kept: all rows, and the evaluation at %.1f s with top-1 %.2f %%%s", e->seconds,
                 e->top1, saved);
    }
    die(EXIT_SILENT, "%s; this rank has waited %.0f s for %s%s", who, waited_s, what, kept);
}

/* All that are lost are named: one that dies may take others along, and which of them is met first
 * says nothing. */
bool lost_look(struct node *n, const char *what, int peer, double waited_s)
{
    struct results *results = n->context->results;
    char who[1000] = "", why[2 * NET_WHY];
    size_t used = 0;
    bool absent = false;
    for (int r = 0; r < n->net->ranks && used < sizeof who; r++) {
        if (!is_needed(n, r, peer) || !net_is_lost(n->net, r, why))
            continue;
        if (goes_on_without(n, r, why)) {
            absent = true;
            continue;
        }
        used += (size_t)snprintf(who + used, sizeof who - used, "%s%s", used ? ", " : "", why);
        results_event(results, "silent", node_clock(n), JSON_FIELDS(JSON_INT("rank", r)));
    }
    if (used)
        end_run(n, who, what, waited_s);
    if (!absent && net_is_stuck(n->net, n->own->control.absent, why)) {
        results_event(results, "stuck", node_clock(n), JSON_FIELDS(JSON_TEXT("ranks", why)));
        snprintf(who, sizeof who, "no rank goes on: %s", why);
        end_run(n, who, what, waited_s);
    }
    return absent;
}
