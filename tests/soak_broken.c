#include "tests/soak_broken.h"

#include "node/private.h"
#include "parameter_server/parameter_server.h"

enum { SELDOM = 5 };

/* A server that steps with each push as it comes; `take` does it, to each push. */
static void serve_each(struct node *n,
                       void (*take)(struct ps_server *, struct node *, int worker, int number))
{
    struct ps_server *ps = ps_server_open(n);
    int number = 0;
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));)
        if (!a->departed)
            take(ps, n, a->worker, ++number);
    ps_server_close(ps);
}

static void step(struct ps_server *ps, struct node *n, int worker, double scale)
{
    ps_step_one(ps, worker, scale / n->context->minibatches, node_lr(n));
}

static void take(struct ps_server *ps, struct node *n, int worker, int number)
{
    (void)number;
    step(ps, n, worker, 1);
    ps_reply(ps, worker);
}

/* Counts a push that makes no step. */
static void take_and_lose(struct ps_server *ps, struct node *n, int worker, int number)
{
    step(ps, n, worker, number % SELDOM ? 1 : 0);
    ps_reply(ps, worker);
}

/* Says that its weights are older than those before. */
static void take_and_fall_back(struct ps_server *ps, struct node *n, int worker, int number)
{
    int64_t back = number > SELDOM && number % SELDOM == 0 ? SELDOM : 0;
    step(ps, n, worker, 1);
    n->version -= back;
    ps_reply_unchanged(ps, worker);
    n->version += back;
}

/* Forgets one worker. */
static void take_and_forget(struct ps_server *ps, struct node *n, int worker, int number)
{
    step(ps, n, worker, 1);
    if (number != SELDOM)
        ps_reply(ps, worker);
}

static void serve_plainly(struct node *n)
{
    serve_each(n, take);
}

static void serve_and_lose(struct node *n)
{
    serve_each(n, take_and_lose);
}

static void serve_and_fall_back(struct node *n)
{
    serve_each(n, take_and_fall_back);
}

static void serve_and_forget(struct node *n)
{
    serve_each(n, take_and_forget);
}

/* A worker that does `wrong` before a push now and then. */
static void work_wrongly(struct node *n, void (*wrong)(struct node *, struct ps_client *))
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int number = 1; ps_wait(ps); number++) {
        node_batch(n);
        if (number % SELDOM == 0)
            wrong(n, ps);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void forget_batch(struct node *n, struct ps_client *ps)
{
    (void)ps;
    node_batch(n); /* what was finished is gone */
}

static void leave_out(struct node *n, struct ps_client *ps)
{
    (void)ps;
    n->own->computing.next[0]++;
}

static void push_before(struct node *n, struct ps_client *ps)
{
    ps_push_async(ps, n->sum);
    ps_flush(ps);
    node_batch(n);
}

static void work_and_forget(struct node *n)
{
    work_wrongly(n, forget_batch);
}

static void work_and_leave_out(struct node *n)
{
    work_wrongly(n, leave_out);
}

static void work_and_push_twice(struct node *n)
{
    work_wrongly(n, push_before);
}

#define BROKEN_SCHEME(its_flags, its_work, its_serve)                                              \
    {                                                                                              \
        .name = "asgd", .flags = (its_flags), .work = its_work, .serve = its_serve                 \
    }

const struct soak_broken soak_broken[] = {
    {"end", BROKEN_SCHEME(PUSHES, ps_work, serve_and_forget)},
    {"pass", BROKEN_SCHEME(PUSHES, work_and_leave_out, serve_plainly)},
    {"once", BROKEN_SCHEME(PUSHES, ps_work, serve_and_lose)},
    {"account", BROKEN_SCHEME(PUSHES, work_and_forget, serve_plainly)},
    {"push", BROKEN_SCHEME(PUSHES | SYNC, work_and_push_twice, serve_plainly)},
    {"version", BROKEN_SCHEME(PUSHES, ps_work, serve_and_fall_back)},
    {"order", BROKEN_SCHEME(PUSHES | SYNC, ps_work, serve_plainly)},
    {"stale", BROKEN_SCHEME(PUSHES | BOUNDED, ps_work, serve_plainly)},
    {"slices", BROKEN_SCHEME(PUSHES | LOCKSTEP, ps_work, serve_plainly)},
    {0},
};
