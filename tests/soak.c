#include "tests/soak.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "parameter_server/messages.h"
#include "tests/death_test.h"
#include "tests/marks.h"
#include "tests/scheme_harness.h"

enum { MINIBATCH = 8, RANKS = MARK_WORKERS + 2, BROKEN = 1 };

/* --- drawing a case --- */

struct choice { /* an option that one of some schemes has, and values to draw from */
    const char *scheme, *values[5];
};

static const struct choice choices[] = {
    {"nbssgd", {"nb-inflight=abort", "nb-inflight=finish", "nb-inflight=carry"}},
    {"nbssgd", {"nb-batch=keep", "nb-batch=reset"}},
    {"nbssgd", {"nb-signal=direct", "nb-signal=relay"}},
    {"nbssgd", {"nb-server=locked", "nb-server=locked", "nb-server=racing"}},
    {"asgd", {"softsync=0", "softsync=1", "softsync=2"}},
    {"asgd", {"stale-lr=plain", "stale-lr=inverse"}},
    {"ringmaster", {"ringmaster-r=1", "ringmaster-r=3", "ringmaster-r=8"}},
    {"ringmaster", {"ringmaster-stops=no", "ringmaster-stops=yes"}},
    {"dcasgd", {"stale-bound=0", "stale-bound=2"}},
    {"downpour", {"n-fetch=1", "n-fetch=3"}},
    {"ssp", {"ssp-staleness=0", "ssp-staleness=1", "ssp-staleness=4"}},
    {"backup", {"backup-workers=0", "backup-workers=1"}},
    {"quorum", {"grace=0", "grace=0.05", "grace=inf"}},
    {"eager", {"eager-trigger=solo", "eager-trigger=majority"}},
    {"localsgd", {"local-steps=1", "local-steps=3"}},
    {"allreduce", {"allreduce=direct", "allreduce=ring"}},
    {"adpsgd", {"topology=path", "topology=star"}},
    {"osgp", {"overlap-steps=1", "overlap-steps=2"}},
};

static const char *const delays[] = {"", "exponential:0.05", "pareto:0.01,1.5", "constant:0.02",
                                     "uniform:0,0.3!"};
static const char *const networks[] = {"sim-bandwidth=1.25e9", "sim-bandwidth=1e6",
                                       "sim-bandwidth=1e5"};
static const double latencies[] = {20e-6, 1e-3, 0.05};

static const char *one_of(struct random *r, const char *const *list, size_t count)
{
    return list[random_below(r, count)];
}

static void draw_choices(struct soak_case *c, struct random *r)
{
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        size_t count = 0;
        while (count < 5 && choices[i].values[count])
            count++;
        const char *value = one_of(r, choices[i].values, count);
        if (strcmp(choices[i].scheme, c->scheme->name))
            continue;
        add_option(&c->words, "%s", value);
        c->races |= !strcmp(value, "nb-server=racing") || !strcmp(value, "nb-inflight=carry");
    }
}

static void draw_words(struct soak_case *c, struct random *r)
{
    const struct scheme *s = c->scheme;
    int minibatches = 1 + (int)random_below(r, 3), batches = 4 + (int)random_below(r, 6);
    bool departs = random_below(r, 8) == 0 && s->flags & PUSHES && c->workers > 1;
    add_plain_sgd(&c->words, s->name, 0.5);
    add_option(&c->words, "workers=%d", c->workers);
    add_option(&c->words, "servers=%d", c->servers);
    add_option(&c->words, "seed=%llu", (unsigned long long)c->seed);
    add_option(&c->words, "minibatches=%d", minibatches);
    add_option(&c->words, "batch=%d", MINIBATCH * minibatches);
    add_option(&c->words, "samples=%d", MINIBATCH * minibatches * c->workers * batches);
    add_option(&c->words, "deadline=%d", SOAK_DEADLINE_S);
    add_option(&c->words, "delay=%s", one_of(r, delays, sizeof delays / sizeof *delays));
    add_option(&c->words, "%s", one_of(r, networks, sizeof networks / sizeof *networks));
    add_option(&c->words, "sim-latency=%g", latencies[random_below(r, 3)]);
    if (random_below(r, 3) == 0)
        add_option(&c->words, "eval-every=%d", MINIBATCH * minibatches * c->workers);
    if (departs)
        add_option(&c->words, "depart=%d=%d", c->servers, (int)random_below(r, 10));
    c->together = random_below(r, 4) == 0 && !(s->flags & ALONE);
}

static void draw_faults(struct soak_case *c, struct random *r)
{
    bool alone = c->scheme->flags & ALONE;
    struct fault_draw d = {.seed = c->seed,
                           .count = 1 + (int)random_below(r, 4),
                           .within_s = 4,
                           .short_s = 1.5,
                           .lethal = random_below(r, 3) ? 0 : 0.4,
                           .lethal_s = SOAK_LETHAL_S};
    c->faults = faults_draw(&d, &(struct fault_world){
                                    .ranks = alone ? 1 : c->servers + c->workers,
                                    .servers = alone ? 1 : c->servers,
                                });
}

void soak_draw(struct soak_case *c, uint64_t seed, const struct scheme *scheme)
{
    struct random r = random_at(RANDOM_TEST, seed, 3, 0, 0);
    *c = (struct soak_case){.seed = seed, .scheme = scheme};
    c->workers = 2 + (int)random_below(&r, MARK_WORKERS - 1);
    c->servers = random_below(&r, 4) == 0 && scheme->flags & PUSHES ? 2 : 1;
    draw_words(c, &r);
    draw_choices(c, &r);
    draw_faults(c, &r);
}

/* --- watching messages --- */

struct lane_log {            /* of one rank to another */
    int64_t version, pushes; /* the last one, and how many had it */
};

struct tap { /* between a rank's node and its world */
    struct soak_run *run;
    struct net_link before;
};

struct soak_run {
    const struct soak_case *c;
    struct experiment experiment;
    struct problem problem;
    struct marks marks;
    struct tap tap[RANKS];
    struct lane_log push[RANKS][RANKS], reply[RANKS][RANKS];
    bool fell;  /* a version did */
    bool twice; /* a worker pushed so at one version, where it must not */
};

static bool pushes_once(const struct scheme *s)
{
    return s->flags & SYNC && s->flags & PUSHES;
}

static void watch(struct soak_run *run, const struct header *m)
{
    struct lane_log *log = m->tag == TAG_PUSH     ? &run->push[m->from][m->to]
                           : m->tag == TAG_PARAMS ? &run->reply[m->from][m->to]
                                                  : NULL;
    struct push_note note;
    if (!log)
        return;
    run->fell |= m->version < log->version;
    if (m->version != log->version)
        *log = (struct lane_log){m->version, 0};
    header_unpack(m, note);
    if (m->tag == TAG_PUSH && note.minibatches)
        run->twice |= ++log->pushes > 1 && pushes_once(run->c->scheme);
}

static double tap_message(void *self, const struct header *m)
{
    struct tap *tap = self;
    watch(tap->run, m);
    return tap->before.on_message ? tap->before.on_message(tap->before.owner, m) : 0;
}

static void open_tap(void *self, struct node *n)
{
    struct soak_run *run = self;
    struct tap *tap = &run->tap[n->rank];
    *tap = (struct tap){run, n->net->link};
    assert(!tap->before.on_payload && !tap->before.divisor);
    n->net->link = (struct net_link){.owner = tap, .on_message = tap_message};
}

/* --- what must hold --- */

static bool is_used(const struct soak_run *run, int worker, int64_t index, bool mirrored)
{
    return run->experiment.out.w[mark_of(worker, index, mirrored)] != 0;
}

static int64_t count_used(const struct soak_run *run, bool mirrored)
{
    int64_t used = 0;
    for (int i = 0; i < run->c->workers; i++)
        for (int64_t k = 0; k < MARK_BATCHES; k++)
            used += is_used(run, i, k, mirrored);
    return used;
}

/* Computed by workers, dropped by anybody; of a worker that did not return it is not known. */
static bool account(const struct soak_run *run, int64_t *computed, int64_t *dropped)
{
    const struct outcome *out = &run->experiment.out;
    bool alone = run->c->scheme->flags & ALONE;
    *computed = alone ? out->server.minibatches : 0;
    *dropped = out->server.dropped_minibatches;
    for (int i = 0; i < run->c->workers && !alone; i++) {
        *computed += out->worker[i].minibatches;
        *dropped += out->worker[i].dropped_minibatches;
        if (out->worker[i].clock_s <= 0)
            return false;
    }
    return true;
}

/* Has as much gone in as was counted? Of hogwild and adpsgd a step that is under way when training
 * ends goes in, and is not counted; ringleader counts gradients that wait in its table for the next
 * round. */
static bool fits(const struct soak_run *run, int64_t used, int64_t counted)
{
    const char *name = run->c->scheme->name;
    int64_t under_way = run->c->workers * run->experiment.options.minibatches;
    if (!strcmp(name, "hogwild") || !strcmp(name, "adpsgd"))
        return used >= counted && used <= counted + under_way;
    return !strcmp(name, "ringleader") ? used <= counted : used == counted;
}

/* What nbssgd's server drops its worker takes back, and computes again. */
static bool adds_up(const struct soak_run *run, int64_t computed, int64_t counted, int64_t dropped)
{
    if (!strcmp(run->c->scheme->name, "nbssgd"))
        return computed >= counted && computed <= counted + dropped;
    return computed == counted + dropped;
}

/* A server that was ended with the run, as an absent rank is, has left no weights. */
static bool slices_agree(const struct soak_run *run)
{
    for (int i = 0; i < run->c->servers; i++)
        if (!run->experiment.out.versions[i])
            return true;
    for (int i = 0; i < run->c->workers; i++)
        for (int64_t k = 0; k < MARK_BATCHES; k++)
            if (is_used(run, i, k, false) != is_used(run, i, k, true))
                return false;
    return true;
}

/* Of all servers that came to their end. */
static bool same_weights(const struct soak_run *a, const struct soak_run *b)
{
    const struct outcome *x = &a->experiment.out, *y = &b->experiment.out;
    for (int i = 0; i < a->c->servers; i++) {
        struct range s = range_split(MARK_FLOATS, i, a->c->servers, CACHE_LINE_FLOATS);
        size_t bytes = (size_t)(s.to - s.from) * sizeof(float);
        if (x->versions[i] && y->versions[i] && memcmp(x->w + s.from, y->w + s.from, bytes))
            return false;
    }
    return true;
}

static bool too_stale(const struct soak_run *run)
{
    const struct scheme *s = run->c->scheme;
    for (int d = s->bound + 1; s->flags & BOUNDED && d < HISTOGRAM; d++)
        if (run->experiment.out.server.staleness.bin[d])
            return true;
    return false;
}

static void broken(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

static void broken(const char *invariant, const char *format, ...)
{
    char line[400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "broken: %s: %s\n", invariant, line);
    exit(BROKEN);
}

static void judge(const struct soak_run *run)
{
    const struct outcome *out = &run->experiment.out;
    const struct scheme *s = run->c->scheme;
    int64_t samples = run->experiment.options.samples, used = count_used(run, false), computed,
            dropped, counted = out->samples / MINIBATCH;
    if (out->status || out->samples < samples)
        broken("end", "%lld of %lld samples, status %d", (long long)out->samples,
               (long long)samples, out->status);
    if (run->marks.gap)
        broken("pass", "a worker left a mini-batch out");
    if (run->fell)
        broken("version", "a later message was of an earlier version");
    if (run->twice)
        broken("push", "a worker pushed twice at one version");
    if (!run->c->races && too_stale(run))
        broken("stale", "a gradient was staler than %d", s->bound);
    if (!run->marks.overflow && !fits(run, used, counted))
        broken("once", "%lld mini-batches went in, %lld were counted", (long long)used,
               (long long)counted);
    if (account(run, &computed, &dropped) && !adds_up(run, computed, counted, dropped))
        broken("account", "%lld mini-batches were computed, %lld used, %lld dropped",
               (long long)computed, (long long)counted, (long long)dropped);
    if (s->flags & LOCKSTEP && !run->c->races && !slices_agree(run))
        broken("slices", "one server used a push that another did not");
}

/* --- running --- */

static void run_once(struct soak_run *run, const struct soak_case *c, struct faults *faults)
{
    struct option_list words = c->words;
    struct experiment *e = &run->experiment;
    run->c = c;
    experiment_defaults(e, option_list_words(&words));
    marks_open(&run->problem, &run->marks, c->seed, MINIBATCH);
    e->scheme = c->scheme;
    e->problem = &run->problem;
    e->faults = faults;
    e->together = c->together;
    e->opened = open_tap;
    e->opened_self = run;
    experiment_run(e);
}

/* A rank that is ended with its world leaves its memory: that is no leak of the program's. */
static _Noreturn void end_well(void)
{
    fflush(NULL);
    _exit(0);
}

static void body(const void *argument)
{
    const struct soak_case *c = argument;
    struct soak_run *run = xcalloc(1, sizeof *run), *plain = xcalloc(1, sizeof *plain);
    struct faults faults = c->faults;
    if (getenv("SOAK_PLAIN"))
        faults.count = 0;
    alarm(SOAK_MOST_S);
    run_once(run, c, &faults);
    judge(run);
    if (!(c->scheme->flags & SYNC))
        end_well();
    run_once(plain, c, NULL);
    if (!same_weights(run, plain))
        broken("order", "other bits than without faults");
    end_well();
}

static bool is_lethal(const struct fault *f)
{
    return f->kind == FAULT_DEAD || (f->for_s >= SOAK_LETHAL_S && f->kind != FAULT_SLOWER);
}

/* Does what was said name a rank that was silent? One whose link is down takes all others for
 * silent. */
static bool is_named(const struct soak_case *c, const char *said)
{
    static const char who[] = "nbsgd: rank 0 on "; /* in this process all are rank 0 */
    const char *what = strstr(said, who);
    what = what ? strstr(what + strlen(who), ": ") : NULL;
    for (int i = 0; i < c->faults.count && what; i++) {
        const struct fault *f = &c->faults.fault[i];
        char name[40];
        snprintf(name, sizeof name, "rank %d on sim", f->rank);
        if (is_lethal(f) && (strstr(what, name) || f->kind == FAULT_DOWN))
            return true;
    }
    return false;
}

static const char *wrong_end(const struct soak_case *c, int code, const char *said)
{
    if (code == EXIT_SILENT)
        return is_named(c, said) ? NULL : "end: no rank that was silent is named";
    return !code                   ? NULL
           : code == BROKEN        ? "an invariant does not hold"
           : code == EXIT_WORLD    ? "end: the simulated world refused something"
           : code == 128 + SIGALRM ? "end: it hangs"
                                   : "end: by a wrong code";
}

static void report(const struct soak_case *c, int code, const char *said, const char *wrong)
{
    struct option_list words = c->words;
    printf("seed %llu, scheme %s: %s (exit code %d)\n  options:", (unsigned long long)c->seed,
           c->scheme->name, wrong ? wrong : "all holds", code);
    for (const char *const *word = option_list_words(&words); *word; word++)
        printf(" --%s", *word);
    printf("\n  faults:\n");
    faults_write(&c->faults, stdout);
    printf("  said: %s\n  again: SOAK_SEED=%llu SOAK_SCHEME=%s build/release/tests/test_soak\n",
           said, (unsigned long long)c->seed, c->scheme->name);
    fflush(stdout);
}

bool soak_try(const struct soak_case *c, bool verbose)
{
    char said[4096];
    int code = death_test(body, c, said, sizeof said);
    const char *wrong = wrong_end(c, code, said);
    if (wrong || verbose)
        report(c, code, said, wrong);
    return !wrong;
}

bool soak_breaks(const struct soak_case *c, const char *invariant)
{
    char said[4096], words[40];
    int code = death_test(body, c, said, sizeof said);
    const char *wrong = wrong_end(c, code, said);
    snprintf(words, sizeof words, "broken: %s:", invariant);
    return code == BROKEN ? strstr(said, words) != NULL
                          : wrong && !strncmp(wrong, invariant, strlen(invariant));
}
