/* A simulated run that is resumed is the run that never ended, bit for bit: weights, counters,
 * times and every number that it took from a vector, for each scheme, rule and codec, kept at any
 * update, and again after it was resumed. Keeping changes nothing, and what is gone through again
 * computes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/journal.h"
#include "base/random.h"
#include "scheme/scheme.h"
#include "slowness/slowness.h"
#include "tests/death_test.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 1 };
#else
enum { SEEDS = 6 };
#endif
enum { WORKERS = 4, ROUNDS = 12, LAST = -1 };

/* Vector work and copies take time, so ranks are kept in the middle of it, too. */
static const char machine_text[] = "ranks_per_host = 2\n"
                                   "latency_s = 0.002\n"
                                   "bandwidth_bytes_per_s = 2e5\n"
                                   "local_latency_s = 0.001\n"
                                   "local_bandwidth_bytes_per_s = 4e5\n"
                                   "vector_bandwidth_bytes_per_s = 4e5\n"
                                   "step_bandwidth_bytes_per_s = 8e5\n"
                                   "copy_bandwidth_bytes_per_s = 2e5\n"
                                   "crowded_bandwidth_bytes_per_s = 2e5\n";

static const struct machine *load_machine(void)
{
    char path[] = "/tmp/nbsgd_machine_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && write(file, machine_text, strlen(machine_text)) > 0 && !close(file),
          "cannot write %s", path);
    const struct machine *m = machine_load(path);
    unlink(path);
    return m;
}

/* --- a run, and what is kept of it --- */

/* The run's problem, which counts gradients. */
struct counting {
    struct problem_kind kind; /* first: the problem points at it */
    const struct problem_kind *real;
    int64_t gradients;
};

static bool count_gradient(struct problem *p, struct stream *s, int64_t index, struct weights w,
                           float *g, struct loss *loss, network_hook *hook, void *self)
{
    struct counting *c = (struct counting *)(uintptr_t)p->kind;
    c->gradients++;
    return c->real->gradient(p, s, index, w, g, loss, hook, self);
}

struct run {
    struct experiment e;
    struct counting counting;
    struct course course;
    int64_t keep_at; /* update; 0: none; LAST: the one that ends the run */
    const struct run *from;
    struct kept *state; /* kept, copied */
    int count;
    int64_t kept_at, kept_gradients; /* when it was kept */
    bool arrived;
};

static bool is_due(void *self, const struct node *n, bool last)
{
    const struct run *r = self;
    return r->keep_at == LAST ? last : n->version == r->keep_at;
}

static void keep(void *self, struct node *n, const struct kept *state, int count)
{
    struct run *r = self;
    assert_null(r->state);
    r->kept_at = n->version;
    r->state = xcalloc((size_t)count, sizeof *r->state);
    r->count = count;
    r->kept_gradients = r->counting.gradients;
    for (int i = 0; i < count; i++) {
        r->state[i] = state[i];
        size_t bytes = (size_t)state[i].count * state_size(state[i].type);
        r->state[i].memory = xcalloc(bytes, 1);
        if (bytes)
            memcpy(r->state[i].memory, state[i].memory, bytes);
    }
}

static const struct kept *state_named(const struct run *r, const char *name)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->state[i].name, name))
            return &r->state[i];
    return NULL;
}

static bool fill(void *self, const struct kept *to)
{
    const struct run *r = self;
    const struct kept *kept = state_named(r->from, to->name);
    if (!kept || kept->count != to->count)
        return false;
    memcpy(to->memory, kept->memory, (size_t)to->count * state_size(to->type));
    return true;
}

static void arrived(void *self, struct node *n)
{
    struct run *r = self;
    (void)n;
    r->arrived = true;
}

static void forward(struct run *r)
{
    const struct kept *words = state_named(r->from, "journal");
    journal_forward(r->course.journal, words->memory, words->count);
    const struct options *o = &r->from->e.options;
    r->course.forward_to = r->from->kept_at;
    r->course.limits = (struct limits){.seconds = o->seconds,
                                       .updates = o->updates,
                                       .samples = o->samples,
                                       .evaluate_every = o->eval_every};
}

/* Keeps it at this update, resumed from another run or not. */
static void run(struct run *r, struct option_list *w, const struct machine *m, int64_t keep_at,
                const struct run *from)
{
    *r = (struct run){.keep_at = keep_at, .from = from};
    experiment_defaults(&r->e, option_list_words(w));
    const struct options *o = &r->e.options;
    r->course = (struct course){.journal = journal_open(),
                                .is_due = is_due,
                                .keep = keep,
                                .fill = fill,
                                .arrived = arrived,
                                .self = r};
    if (from)
        forward(r);
    r->e.course = &r->course;
    r->e.machine = m;
    if (m)
        r->e.links = machine_links(m, r->e.servers + r->e.workers);
    r->e.problem = problem_open(&(struct problem_options){
        .options = o, .minibatch = (int)(o->batch / o->minibatches), .threads = 1, .trains = true});
    r->counting = (struct counting){.kind = *r->e.problem->kind, .real = r->e.problem->kind};
    r->counting.kind.gradient = count_gradient;
    r->e.problem->kind = &r->counting.kind;
    experiment_run(&r->e);
    problem_close(r->e.problem);
}

static void run_close(struct run *r)
{
    for (int i = 0; i < r->count; i++)
        xfree(r->state[i].memory);
    xfree(r->state);
    journal_close(r->course.journal);
    experiment_close(&r->e);
}

/* --- two runs --- */

static bool same_counters(const struct counters *a, const struct counters *b)
{
    struct counters x = *a, y = *b;
    x.loader_s = y.loader_s = 0; /* of wall clock */
    return !memcmp(&x, &y, sizeof x);
}

/* What is other in b; NULL: nothing. */
static const char *difference(const struct run *a, const struct run *b)
{
    const struct outcome *x = &a->e.out, *y = &b->e.out;
    int64_t words, others;
    const uint64_t *numbers = journal_all(a->course.journal, &words),
                   *theirs = journal_all(b->course.journal, &others);
    if (x->updates != y->updates || x->samples != y->samples || x->status != y->status)
        return "updates";
    if (x->seconds != y->seconds)
        return "time";
    if (memcmp(x->versions, y->versions, (size_t)a->e.servers * sizeof *x->versions))
        return "versions";
    if (!same_counters(&x->server, &y->server))
        return "the server's counters";
    for (int i = 0; i < a->e.workers; i++)
        if (!same_counters(&x->worker[i], &y->worker[i]))
            return "a worker's counters";
    if (words != others || memcmp(numbers, theirs, (size_t)words * sizeof *numbers))
        return "losses, norms or evaluations";
    return memcmp(x->w, y->w, (size_t)x->count * sizeof *x->w) ? "weights" : NULL;
}

static void assert_resumes(const struct run *whole, const struct run *part, const char *what,
                           uint64_t seed)
{
    const char *other = difference(whole, part);
    int64_t skipped = part->from->kept_gradients;
    if (!part->arrived)
        other = "it never arrived";
    if (!other && part->counting.gradients != whole->counting.gradients - skipped)
        other = "gradients that it computed";
    if (other)
        fail_msg("%s, seed %d, kept at update %d of %d: other %s", what, (int)seed,
                 (int)part->from->kept_at, (int)whole->e.out.updates, other);
}

static int64_t update_at(uint64_t seed, uint64_t which, int64_t first, int64_t last)
{
    struct random r = random_at(RANDOM_TEST, seed, which, 0, 0);
    return first + (int64_t)random_below(&r, (uint64_t)(last - first + 1));
}

/* The whole run; one that keeps nothing; one resumed; one that is resumed from that. */
static void resume(struct option_list *w, const struct machine *m, const char *what, uint64_t seed)
{
    struct run plain, whole, part, rest;
    run(&plain, w, m, 0, NULL);
    int64_t updates = plain.e.out.updates, first = update_at(seed, 1, 1, updates - 2);
    int64_t second = update_at(seed, 2, first + 1, updates - 1);
    run(&whole, w, m, first, NULL);
    const char *other = difference(&plain, &whole);
    if (other)
        fail_msg("%s, seed %d: keeping it has changed its %s", what, (int)seed, other);
    run(&part, w, m, second, &whole);
    assert_resumes(&whole, &part, what, seed);
    part.kept_gradients += whole.kept_gradients; /* those that it did not compute itself */
    run(&rest, w, m, 0, &part);
    assert_resumes(&whole, &rest, what, seed);
    struct run *all[] = {&plain, &whole, &part, &rest};
    for (int i = 0; i < 4; i++)
        run_close(all[i]);
}

static struct option_list describe(const char *scheme, uint64_t seed, const char *more)
{
    struct option_list w = {0};
    char copy[400], *save = NULL;
    add_option(&w, "scheme=%s", scheme);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=16");
    add_option(&w, "local-steps=3");
    add_option(&w, "samples=%d", 16 * WORKERS * ROUNDS);
    add_option(&w, "eval-every=100");
    add_option(&w, "lr=0.005");
    add_option(&w, "seed=%d", (int)seed);
    add_option(&w, "delay=exponential:0.05");
    add_option(&w, "sim-latency=0.01");
    add_option(&w, "sim-bandwidth=50000");
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    return w;
}

/* --- tests --- */

static void every_scheme_resumes(void **state)
{
    const struct machine *m = *state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct option_list w = describe(s->name, seed, "");
            resume(&w, seed % 2 ? m : NULL, s->name, seed);
        }
}

static const struct variant {
    const char *scheme, *options;
} variants[] = {
    /* rules, and norms of slices that lie with several servers */
    {"ssgd", "optimizer=sgd momentum=0.9 servers=2 clip=0.5"},
    {"ssgd", "optimizer=nesterov clip=0.1 ema=0.9"},
    {"ssgd", "optimizer=adam servers=3 clip=0.5"},
    {"ssgd", "optimizer=adamw weight-decay=0.1"},
    {"ssgd", "optimizer=accumadamw accum-iter=3"},
    {"ssgd", "optimizer=adagrad servers=2 ema=0.8"},
    {"ssgd", "optimizer=lars"},
    {"ssgd", "optimizer=lamb clip=0.5"},
    {"allreduce", "optimizer=adam clip=0.5 ema=0.9"},
    {"hogwild", "clip=0.3 sim-minibatch=0.02 delay=exponential:0.005"},
    /* codecs */
    {"ssgd", "compress=topk compress-ratio=0.1"},
    {"asgd", "compress=randk compress-ratio=0.1 servers=2"},
    {"ssgd", "compress=int8"},
    {"nbssgd", "compress=sign"},
    {"ssgd", "compress=bf16 servers=2"},
    {"asgd", "compress=f16"},
    /* sums among workers */
    {"allreduce", "allreduce=ring"},
    {"allreduce", "allreduce=ring compress=topk compress-ratio=0.1"},
    {"allreduce", "allreduce=direct compress=int8"},
    {"allreduce", "allreduce=direct compress=bf16"},
    {"allreduce", "allreduce=direct sim-model-sums=2"},
    {"allreduce", "allreduce=ring sim-model-sums=2"},
    {"eager", "eager-trigger=majority"},
    {"dropcompute", "dropcompute-tau=0.3 dropcompute-divide=kept"},
    {"dropcompute", "dropcompute-tau=auto dropcompute-steps=4"},
    /* servers, and what schemes remember */
    {"nbssgd", "nb-inflight=carry nb-batch=reset servers=2"},
    {"nbssgd", "nb-payload=weights nb-server=racing"},
    {"nbssgd", "nb-inflight=carry nb-drop-late=0.05"},
    {"asgd", "servers=2 server-momentum=worker"},
    {"asgd", "softsync=2 stale-lr=rescaled"},
    {"dcasgd", "dc=adaptive servers=2"},
    {"downpour", "n-push=2 n-fetch=3 optimizer=adagrad"},
    {"ssp", "ssp-staleness=1 servers=2"},
    {"quorum", "grace=0.02 servers=2"},
    {"ringleader", "servers=2"},
    {"malenia", "malenia-batch=6 servers=2"},
    {"rennala", "servers=2"},
    {"ringmaster", "ringmaster-stops ringmaster-r=2"},
    {"localsgd", "post-local=0.3 depart=2=6"},
    {"dnesterov", "dylu slow=3=3"},
    {"ssgd", "slow=2=3 depart=3=4"},
    /* evaluations */
    {"ssgd", "eval-seconds=0.4"},
    {"asgd", "eval-seconds=0.3 servers=2"},
    {"localsgd", "delay-key=clock delay-block=0.1"},
    {"easgd", "eval-seconds=0.3"},
    {"ssgd", "link-delay=uniform:0,0.02 link-burst=0.2,4,3"},
};

static void every_variant_resumes(void **state)
{
    const struct machine *m = *state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            char what[200];
            struct option_list w = describe(variants[i].scheme, seed, variants[i].options);
            snprintf(what, sizeof what, "%s %s", variants[i].scheme, variants[i].options);
            resume(&w, seed % 2 ? m : NULL, what, seed);
        }
}

/* What was kept when a run ended goes on, as one that had been asked for more at once. Where
 * workers go ahead of rank 0 they had waited for it at the end, so times differ. */
static void a_run_that_has_ended_goes_on(void **state)
{
    const struct machine *m = *state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++) {
        struct run whole, ended, part;
        struct option_list w = describe(s->name, 3, "schedule=constant warmup=0"), longer = w;
        add_option(&longer, "samples=%d", 16 * WORKERS * ROUNDS * 2);
        run(&whole, &longer, m, 0, NULL);
        run(&ended, &w, m, LAST, NULL);
        run(&part, &longer, m, 0, &ended);
        if (!(s->flags & DECENTRAL))
            assert_resumes(&whole, &part, s->name, 3);
        assert_true(part.arrived && part.e.out.samples >= part.e.options.samples);
        run_close(&whole);
        run_close(&ended);
        run_close(&part);
    }
}

/* A network with norms and dropout, and images that are drawn, shuffled and augmented. */
static void images_resume(void **state)
{
    (void)state;
    static const char *const networks[] = {
        "network=resnet20 dataset=synthetic train-samples=64 eval-samples=16 eval-batches=1 "
        "backend=ref workers=2 minibatches=1 batch=4 samples=32 eval-every=12 threads=1"};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        struct option_list w = describe("asgd", 1, networks[i]);
        resume(&w, NULL, networks[i], 1);
    }
}

/* --- what is not the run that was kept --- */

static void resume_another(const void *argument)
{
    struct run first, other;
    struct option_list w = describe("asgd", 1, ""), v = describe("asgd", 1, argument);
    run(&first, &w, NULL, 9, NULL);
    run(&other, &v, NULL, 0, &first);
}

static void another_course_is_refused(void **state)
{
    (void)state;
    static const char *const others[] = {"delay=exponential:0.06", "sim-latency=0.011",
                                         "eval-seconds=0.5", "workers=3", "compress=bf16"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_dies(EXIT_WORLD, resume_another, others[i],
                    (const char *const[]){"not the one that was checkpointed", NULL});
}

static int open_machine(void **state)
{
    *state = (void *)(uintptr_t)load_machine();
    return 0;
}

static int close_machine(void **state)
{
    machine_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheme_resumes),         cmocka_unit_test(every_variant_resumes),
        cmocka_unit_test(a_run_that_has_ended_goes_on), cmocka_unit_test(images_resume),
        cmocka_unit_test(another_course_is_refused),
    };
    return cmocka_run_group_tests(tests, open_machine, close_machine);
}
