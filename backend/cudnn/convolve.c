/* Which plan runs each direction of a convolution, and how that is found out.
 *
 * A plan's time is that of a recorded graph of a few runs, since that is how a step runs it: the
 * cost of a launch from the host doesn't count, and a plan that can't be recorded is out. The best
 * of some rounds is kept: what disturbs only adds. Several runs find their small operands in the
 * cache, which is so in a step as well. */
#include "backend/cudnn/convolve.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cudnn/check.h"
#include "base/alloc.h"

static const char *const direction_name[DIRECTIONS] = {"forward", "backward data",
                                                       "backward weights"};

enum {
    RUNS = 4,       /* in one graph */
    ROUNDS = 5,     /* of the graph, at most; the first brings it to the device */
    FEW_ROUNDS = 2, /* to see that a plan is hopeless */
    TIMED = 24, /* plans of one direction: the library knows well which are not among its best */
    GRADES = 8,
    NEVER = GRADES,
    SHAPE_WORDS = 160,
};
static const float ENOUGH_MS = 30;   /* of timing one plan */
static const float HOPELESS = 1.25f; /* so much slower than the best after few rounds */

struct convolver {
    struct planner *planner;
    bool here; /* the device is one that runs */
    bool tf32;
    cudaStream_t stream;
    struct convolve *open;
};

struct convolve {
    struct convolver *convolver;
    struct convolve *next;
    int users;
    enum backend_dtype dtype;
    char shape[SHAPE_WORDS]; /* all that plans depend on, in words */
    struct plans *plans[DIRECTIONS];
    int chosen[DIRECTIONS];
    bool settled[DIRECTIONS];
};

struct convolver *convolver_open(const char *description, bool tf32)
{
    struct convolver *v = xcalloc(1, sizeof *v);
    v->here = !description;
    v->tf32 = tf32;
    v->planner = v->here ? planner_open() : planner_describe(description);
    return v;
}

void convolver_close(struct convolver *v)
{
    assert(!v->open);
    planner_close(v->planner);
    xfree(v);
}

void convolver_stream(struct convolver *v, cudaStream_t stream)
{
    assert(v->here && stream);
    planner_stream(v->planner, stream);
    v->stream = stream;
}

/* The convolution that the shape is: a dense layer's vector is one pixel. */
static struct unit_shape convolution_of(const struct unit_shape *s)
{
    struct unit_shape c = *s;
    assert(s->kind == UNIT_CONV || s->kind == UNIT_DENSE);
    if (s->kind == UNIT_DENSE) {
        c.in_c = s->in_c * s->in_h * s->in_w;
        c.in_h = c.in_w = c.out_h = c.out_w = c.kernel = c.stride = 1;
        c.pad = 0;
    }
    return c;
}

/* How much a plan has against it; those with the least are taken. */
static int grade_of(const struct convolve *c, const struct plan *p)
{
    bool tf32 = c->convolver->tf32, cores = tf32 || c->dtype == DTYPE_BF16;
    if (p->narrows && !(tf32 && p->tf32))
        return NEVER;
    return 4 * (cores && !p->tensor_cores) + 2 * p->wanders + p->compiles;
}

static bool takes(struct plans *plans, int which, size_t workspace)
{
    if (!plans_build(plans, which))
        return false;
    if (plans->plan[which].workspace <= workspace)
        return true;
    plans_forget(plans, which);
    return false;
}

/* The first plan of the best grade; -1 when there is none. */
static int first_fit(const struct convolve *c, struct plans *plans)
{
    for (int grade = 0; grade < GRADES; grade++)
        for (int i = 0; i < plans->count; i++)
            if (grade_of(c, &plans->plan[i]) == grade && takes(plans, i, CONVOLVE_WORKSPACE))
                return i;
    return -1;
}

static void open_direction(struct convolve *c, enum direction d, const struct unit_shape *s)
{
    c->plans[d] = plans_open(c->convolver->planner, d, s, c->dtype);
    c->chosen[d] = first_fit(c, c->plans[d]);
    CHECK(c->chosen[d] >= 0, "cuDNN has no plan for the %s of %s; it proposed %d",
          direction_name[d], c->shape, c->plans[d]->count);
}

struct convolve *convolve_open(struct convolver *v, const struct unit_shape *unit,
                               enum backend_dtype dtype)
{
    const struct unit_shape s = convolution_of(unit);
    char shape[SHAPE_WORDS];
    snprintf(shape, sizeof shape, "%d x %dx%dx%d to %dx%dx%d, kernel %d/%d+%d, %s%s", s.batch,
             s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.kernel, s.stride, s.pad,
             dtype == DTYPE_BF16 ? "bf16"
             : v->tf32           ? "tf32"
                                 : "f32",
             s.first ? ", first" : "");
    for (struct convolve *c = v->open; c; c = c->next)
        if (!strcmp(c->shape, shape)) {
            c->users++;
            return c;
        }
    struct convolve *c = xcalloc(1, sizeof *c);
    *c = (struct convolve){.convolver = v, .next = v->open, .users = 1, .dtype = dtype};
    memcpy(c->shape, shape, sizeof shape);
    v->open = c;
    for (enum direction d = 0; d < DIRECTIONS; d++)
        if (d != BACKWARD_DATA || !s.first)
            open_direction(c, d, &s);
    return c;
}

void convolve_close(struct convolve *c)
{
    if (!c || --c->users)
        return;
    struct convolve **link = &c->convolver->open;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    for (enum direction d = 0; d < DIRECTIONS; d++)
        plans_close(c->plans[d]);
    xfree(c);
}

const char *convolve_words(const struct convolve *c)
{
    return c->shape;
}

const struct plan *convolve_plan(const struct convolve *c, enum direction d)
{
    assert(c->plans[d]);
    return &c->plans[d]->plan[c->chosen[d]];
}

size_t convolve_workspace(const struct convolve *c)
{
    size_t most = 0;
    for (enum direction d = 0; d < DIRECTIONS; d++)
        if (c->plans[d] && convolve_plan(c, d)->workspace > most)
            most = convolve_plan(c, d)->workspace;
    return most;
}

/* Which may be what is chosen already. */
static void choose(struct convolve *c, enum direction d, int which)
{
    if (which != c->chosen[d])
        plans_forget(c->plans[d], c->chosen[d]);
    c->chosen[d] = which;
    c->settled[d] = true;
}

bool convolve_choose(struct convolve *c, enum direction d, const char *name)
{
    struct plans *plans = c->plans[d];
    for (int i = 0; i < plans->count; i++)
        if (!strcmp(plans->plan[i].name, name) && grade_of(c, &plans->plan[i]) != NEVER &&
            takes(plans, i, CONVOLVE_WORKSPACE)) {
            choose(c, d, i);
            return true;
        }
    return false;
}

/* NULL when the plan can't be recorded. */
static cudaGraphExec_t record(cudaStream_t stream, const struct plans *plans, int which,
                              void *const operand[OPERANDS], void *workspace)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t recorded = NULL;
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    bool ran = true;
    for (int i = 0; i < RUNS && ran; i++)
        ran = plans_run(plans, which, operand, workspace);
    if (cudaStreamEndCapture(stream, &graph) != cudaSuccess || !ran)
        (void)
            cudaGetLastError(); /* it was about this plan alone, and shall not be another call's */
    else
        CUDA(cudaGraphInstantiateWithFlags(&recorded, graph, 0));
    if (graph)
        CUDA(cudaGraphDestroy(graph));
    return recorded;
}

/* Milliseconds of one run, INFINITY when it refuses. The first run is not recorded: it may load the
 * kernel. */
static float time_of(cudaStream_t stream, const struct plans *plans, int which,
                     void *const operand[OPERANDS], void *workspace, float to_beat)
{
    cudaGraphExec_t graph;
    cudaEvent_t begin, end;
    if (!plans_run(plans, which, operand, workspace)) {
        (void)cudaGetLastError();
        return INFINITY;
    }
    CUDA(cudaStreamSynchronize(stream));
    graph = record(stream, plans, which, operand, workspace);
    if (!graph)
        return INFINITY;
    CUDA(cudaEventCreate(&begin));
    CUDA(cudaEventCreate(&end));
    float best = INFINITY, spent = 0;
    for (int i = 0;
         i < ROUNDS && spent < ENOUGH_MS && (i < FEW_ROUNDS || best < HOPELESS * to_beat); i++) {
        float took = 0;
        CUDA(cudaEventRecord(begin, stream));
        CUDA(cudaGraphLaunch(graph, stream));
        CUDA(cudaEventRecord(end, stream));
        CUDA(cudaEventSynchronize(end));
        CUDA(cudaEventElapsedTime(&took, begin, end));
        spent += took;
        best = fminf(best, took / RUNS);
    }
    CUDA(cudaEventDestroy(begin));
    CUDA(cudaEventDestroy(end));
    CUDA(cudaGraphExecDestroy(graph));
    return best;
}

/* Of one grade, built; -1 when none runs. */
static int fastest(struct convolve *c, enum direction d, int grade, void *const operand[OPERANDS],
                   void *workspace, size_t bytes)
{
    struct plans *plans = c->plans[d];
    int best = -1;
    float best_ms = INFINITY;
    for (int i = 0, timed = 0; i < plans->count && timed < TIMED; i++) {
        if (grade_of(c, &plans->plan[i]) != grade || !takes(plans, i, bytes))
            continue;
        timed++;
        float ms = time_of(c->convolver->stream, plans, i, operand, workspace, best_ms);
        bool better = ms < best_ms;
        int worse = better ? best : i;
        if (worse >= 0)
            plans_forget(plans, worse);
        if (better) {
            best = i;
            best_ms = ms;
        }
    }
    return best;
}

void convolve_time(struct convolve *c, enum direction d, void *const operand[OPERANDS],
                   void *workspace, size_t bytes)
{
    if (c->settled[d])
        return;
    assert(c->convolver->stream && c->plans[d]);
    int best = -1;
    for (int grade = grade_of(c, convolve_plan(c, d)); best < 0 && grade < GRADES; grade++)
        best = fastest(c, d, grade, operand, workspace, bytes);
    CHECK(best >= 0, "cuDNN runs none of its plans for the %s of %s in %zu bytes of workspace",
          direction_name[d], c->shape, bytes);
    choose(c, d, best);
}

void convolve_run(const struct convolve *c, enum direction d, void *const operand[OPERANDS],
                  void *workspace)
{
    assert(c->convolver->stream && c->plans[d]);
    for (enum operand o = 0; o < OPERANDS; o++)
        assert(operand[o] && (uintptr_t)operand[o] % PLAN_ALIGN == 0);
    if (plans_run(c->plans[d], c->chosen[d], operand, workspace))
        return;
    char words[512] = "";
    plans_words(words, sizeof words);
    CHECK(false, "cuDNN refuses the %s of %s by %s: %s", direction_name[d], c->shape,
          convolve_plan(c, d)->name, words);
}
