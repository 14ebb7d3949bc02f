/* Where the seconds of a rank go: each second of its training clock to one account.
 *
 * An account is open at any time; opening another one charges what has passed. So the accounts add
 * to the clock, whatever nests in what: a mini-batch, in it a push, in that a sum. In evaluations
 * the clock stands still, and nothing is charged. */
#include <math.h>

#include "node/private.h"

static double *seconds_of(struct node *n, enum account account)
{
    struct counters *c = &n->counters;
    double *const seconds[ACCOUNTS] = {
        [ACCOUNT_OTHER] = &c->other_s,       [ACCOUNT_COMPUTE] = &c->compute_s,
        [ACCOUNT_DELAY] = &c->delay_s,       [ACCOUNT_UPDATE] = &c->update_s,
        [ACCOUNT_TRANSFER] = &c->transfer_s, [ACCOUNT_WAIT] = &c->wait_s,
    };
    return seconds[account];
}

static bool is_charged(const struct node *n)
{
    return !n->own->accounts.ended && !n->own->control.evaluating;
}

void accounts_open(struct node *n)
{
    n->own->accounts.since_s = node_clock(n);
    trace_begin(n);
}

enum account node_account(struct node *n, enum account account)
{
    struct accounts *a = &n->own->accounts;
    enum account before = a->current;
    if (!is_charged(n))
        return before;
    double net_s = net_now(n->net), now_s = node_clock_at(n, net_s);
    *seconds_of(n, before) += now_s - a->since_s;
    trace_account(n, before, net_s);
    a->since_s = now_s;
    a->current = account;
    return before;
}

static void move(struct node *n, enum account from, enum account to, double seconds)
{
    *seconds_of(n, from) -= seconds;
    *seconds_of(n, to) += seconds;
}

void node_move_account(struct node *n, enum account from, enum account to, double seconds)
{
    if (!is_charged(n))
        return;
    move(n, from, to, seconds);
    trace_moved_newest(n, from, to, seconds);
}

void node_count_moving(struct node *n, double since_s, double until_s)
{
    struct control *c = &n->own->control;
    double from_s = fmax(since_s, c->waited_from_s), to_s = fmin(until_s, c->waited_to_s);
    if (to_s <= from_s)
        return;
    if (is_charged(n)) {
        move(n, ACCOUNT_WAIT, ACCOUNT_TRANSFER,
             node_clock_then(n, to_s) - node_clock_then(n, from_s));
        trace_moved(n, ACCOUNT_WAIT, ACCOUNT_TRANSFER, from_s, to_s);
    }
    if (from_s == c->waited_from_s)
        c->waited_from_s = to_s;
    else
        c->waited_to_s = from_s;
}

void accounts_finished(struct node *n, double computed_s)
{
    struct accounts *a = &n->own->accounts;
    a->in_hand++;
    a->in_hand_s += computed_s;
    a->newest_s = computed_s;
}

void accounts_used(struct node *n)
{
    node_hand_over(n, n->own->accounts.in_hand);
}

void accounts_dropped(struct node *n)
{
    double seconds = node_hand_over(n, n->own->accounts.in_hand);
    n->counters.dropped_s += seconds;
    trace_dropped(n, seconds);
}

double node_hand_over(struct node *n, int64_t minibatches)
{
    struct accounts *a = &n->own->accounts;
    int64_t left = a->in_hand > minibatches ? a->in_hand - minibatches : 0;
    double left_s = left == a->in_hand ? a->in_hand_s : (double)left * a->newest_s;
    double handed_s = a->in_hand_s - left_s;
    a->in_hand = left;
    a->in_hand_s = left_s;
    return handed_s;
}

void node_end_accounts(struct node *n, double dropped_s)
{
    accounts_dropped(n);
    n->counters.dropped_s += dropped_s;
    trace_dropped(n, dropped_s);
    node_account(n, ACCOUNT_OTHER);
    if (!n->own->accounts.ended)
        n->counters.clock_s = n->own->accounts.since_s;
    n->own->accounts.ended = true;
}
