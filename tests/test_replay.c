/* --record and --replay on the simulated network: a run comes out again bit for bit, to its very
 * end, whatever its ranks' speeds; what is no record of it is refused by a line that says why;
 * nothing waits for what cannot come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/scheme_harness.h"
#include "tests/quadratic.h"
#include "tests/option_list.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 4 };
#else
enum { SEEDS = 40 };
#endif
enum { WORD_BYTES = 4, DEPARTED = 1 << 30, MOST_SERVERS = 3, BANDWIDTH = 40000 };

static char folder[] = "/tmp/nbsgd-replay-XXXXXX"; /* of all tests; each overwrites the files of
                                                      the one before */

static int open_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static char *path_of(char to[100], const char *name, int rank)
{
    snprintf(to, 100, "%s/%s.%d", folder, name, rank);
    return to;
}

static int close_folder(void **state)
{
    (void)state;
    char path[100];
    for (int rank = 0; rank < MOST_SERVERS; rank++) {
        unlink(path_of(path, "order", rank));
        unlink(path_of(path, "other", rank));
    }
    return rmdir(folder);
}

/* Four workers of unequal speeds; further options are "name=value name=value". */
static struct option_list describe(const char *scheme, int servers, uint64_t seed, const char *more)
{
    struct option_list w = {0};
    char copy[300], *save = NULL;
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=4");
    add_option(&w, "servers=%d", servers);
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=8");
    add_option(&w, "local-steps=2");
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    return w;
}

/* A push takes about as long as a mini-batch, so that servers see workers in different orders. */
static void record(struct experiment *e, const struct option_list *what, const char *name)
{
    struct option_list w = *what;
    add_option(&w, "record=%s/%s", folder, name);
    add_option(&w, "overwrite=yes");
    add_option(&w, "delay=exponential:0.1");
    add_option(&w, "sim-latency=0.02");
    add_option(&w, "sim-bandwidth=%d", BANDWIDTH);
    quadratic_run(e, &w);
}

/* Other speeds, another network. */
static void replay(struct experiment *e, const struct option_list *what, int servers, uint64_t seed)
{
    static const char *const delays[] = {"pareto:0.01,1.2", "uniform:0,0.5@4;uniform:0,0.1",
                                         "constant:0"};
    struct option_list w = *what;
    add_option(&w, "replay=%s/order", folder);
    add_option(&w, "delay=%s", delays[seed % 3]);
    add_option(&w, "slow=%d=5", servers + (int)(seed % 4));
    add_option(&w, "sim-latency=%g", seed % 2 ? 0.01 : 1e-5);
    add_option(&w, "sim-bandwidth=%d", seed % 5 ? BANDWIDTH / 3 : BANDWIDTH * 100);
    quadratic_run(e, &w);
}

static bool same(const struct experiment *a, const struct experiment *b)
{
    for (int i = 0; i < a->workers; i++)
        if (a->out.worker[i].minibatches != b->out.worker[i].minibatches)
            return false;
    return !memcmp(a->out.w, b->out.w, (size_t)a->out.count * sizeof(float)) &&
           a->out.samples == b->out.samples &&
           !memcmp(a->out.versions, b->out.versions, (size_t)a->servers * sizeof *a->out.versions);
}

/* Ends by samples, updates or seconds, in the middle of whatever is under way; some runs with a
 * worker or two that depart, or all. */
static struct option_list draw(const char *scheme, int servers, uint64_t seed)
{
    static const char *const limits[] = {"samples=%d", "samples=100000 updates=%d",
                                         "samples=100000 seconds=%d"};
    static const char *const manners[] = {
        "", "softsync=2 n-push=2 n-fetch=3 ssp-staleness=0",
        "softsync=1 n-push=1 n-fetch=2 ssp-staleness=1 backup-workers=2",
        "stale-bound=4 warm-start=0.3 stale-lr=inverse"};
    static const char *const departures[] = {
        "", "", "", "", "depart=%d=4", "depart=%d=0,%d=7", "depart=%d=2,%d=5,%d=4,%d=4", ""};
    static const int amount[] = {300, 40, 3};
    char limit[60], depart[60], all[300];
    int kind = (int)(seed % 3);
    const char *manner = manners[seed / 3 % 4];
    if (kind == 2 && strstr(manner, "warm"))
        manner = "";
    snprintf(limit, sizeof limit, limits[kind], amount[kind]);
    snprintf(depart, sizeof depart, departures[seed % 8], servers, servers + 1, servers + 2,
             servers + 3);
    snprintf(all, sizeof all, "eval-every=64 %s %s %s", limit, manner, depart);
    return describe(scheme, servers, seed, all);
}

static void a_replay_is_exact_to_its_end(void **state)
{
    (void)state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (int servers = 1; servers <= MOST_SERVERS && s->flags & REPLAYS; servers++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                struct experiment first, again;
                struct option_list w = draw(s->name, servers, seed);
                record(&first, &w, "order");
                add_option(&w, "target=0.001"); /* the end of the record overrules limits of the
                                                   accuracy and of time */
                add_option(&w, "seconds=%g", seed % 4 ? 0 : 0.5);
                replay(&again, &w, servers, seed);
                if (!same(&first, &again))
                    fail_msg("%s, %d servers, seed %d: %lld updates, replayed %lld; %g apart",
                             s->name, servers, (int)seed, (long long)first.out.updates,
                             (long long)again.out.updates,
                             quadratic_difference(&first.out, &again.out));
                experiment_close(&first);
                experiment_close(&again);
            }
}

/* No weights may depend on when ranks evaluate, so --eval-every may differ. */
static void evaluations_change_nothing(void **state)
{
    (void)state;
    struct experiment first, again;
    struct option_list w = describe("asgd", 2, 7, "samples=400"), often = w;
    record(&first, &w, "order");
    add_option(&often, "eval-every=8");
    replay(&again, &often, 2, 1);
    assert_true(same(&first, &again));
    experiment_close(&first);
    experiment_close(&again);
}

/* --- what is no whole record, or none of this run: in children, since it ends the run or is said
 * aloud --- */

struct child {
    struct option_list w;
    int servers;
    uint64_t seed;
    int64_t samples; /* that it is to reach */
};

static void replays(const void *argument)
{
    const struct child *c = argument;
    struct experiment e;
    replay(&e, &c->w, c->servers, c->seed);
    if (e.out.samples < c->samples)
        _exit(1);
}

struct part {
    long head, size; /* bytes */
    char path[100];
};

static struct part part_of(const char *name, int rank)
{
    struct part p;
    char line[300];
    FILE *f = fopen(path_of(p.path, name, rank), "rb");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && *line != '\n')
        continue;
    p.head = ftell(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    p.size = ftell(f);
    fclose(f);
    assert_true(p.size > p.head && (p.size - p.head) % WORD_BYTES == 0);
    return p;
}

/* Runs that were killed: files without their ends. backup and ssp hold replies back until others
 * have pushed, so a server that goes on freely may never let a worker go that another one waits
 * for. */
static void a_record_that_breaks_off_leaves_the_rest_free(void **state)
{
    (void)state;
    static const char *const schemes_of[] = {"asgd", "dcasgd", "ssp", "downpour"};
    for (int which = 1; which < 4; which++) /* files that break off, bit by bit */
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct experiment e;
            struct child c = {.servers = 2, .seed = seed, .samples = 320};
            c.w = describe(schemes_of[seed % 4], c.servers, seed,
                           "samples=320 softsync=2 ssp-staleness=1 backup-workers=2");
            record(&e, &c.w, "order");
            experiment_close(&e);
            for (int rank = 0; rank < 2; rank++) {
                struct part p = part_of("order", rank);
                if (which >> rank & 1)
                    assert_int_equal(
                        truncate(p.path,
                                 p.head + (p.size - p.head - 1) *
                                              (long)((seed * 37 + (uint64_t)rank * 41) % 100) /
                                              100),
                        0);
            }
            assert_dies(0, replays, &c,
                        (const char *const[]){"ends after its event", "the order is free", NULL});
        }
}

static void a_record_of_another_run_is_refused(void **state)
{
    (void)state;
    struct experiment e;
    struct child c = {.w = describe("asgd", 2, 1, "samples=160"), .servers = 2};
    record(&e, &c.w, "order");
    experiment_close(&e);
    static const char *const others[][2] = {
        {"batch=16", "there 'batch = 8', here 'batch = 16'"},
        {"scheme=dcasgd", "there 'scheme = asgd', here 'scheme = dcasgd'"},
        {"seed=2", "there 'seed = 1', here 'seed = 2'"},
        {"samples=200", "there 'samples = 160', here 'samples = 200'"},
        {"softsync=2", "there 'softsync = 0', here 'softsync = 2'"},
        {"compress=bf16", "there 'compress = f32', here 'compress = bf16'"},
        {"depart=3=2", "there 'depart = ', here 'depart = 3=2'"},
        {"workers=3", "there 'workers = 4', here 'workers = 3'"},
        {"servers=1", "there 'servers = 2', here 'servers = 1'"},
        {"momentum=0.5", "there 'momentum = 0', here 'momentum = 0.5'"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct child other = c;
        other.servers = strstr(others[i][0], "servers=1") ? 1 : 2;
        add_option(&other.w, "%s", others[i][0]);
        assert_dies(EXIT_USER, replays, &other,
                    (const char *const[]){"order.", others[i][1], NULL});
    }
}

/* Puts `count` words, low byte first, in place of all from number `at` on (the last ones: -1, -2,
 * ..). */
static void rewrite(const char *name, int rank, long at, const uint32_t *words, size_t count)
{
    struct part p = part_of(name, rank);
    long from = at < 0 ? p.size + at * WORD_BYTES : p.head + at * WORD_BYTES;
    assert_int_equal(truncate(p.path, from), 0);
    FILE *f = fopen(p.path, "ab");
    for (size_t i = 0; i < count; i++)
        for (int byte = 0; byte < WORD_BYTES; byte++)
            putc((int)(words[i] >> 8 * byte & 0xff), f);
    assert_int_equal(fclose(f), 0);
}

/* What cannot come is not waited for: these records were never written by a run. */
static void what_cannot_come_is_said(void **state)
{
    (void)state;
    static const uint32_t end = UINT32_MAX;
    static const struct {
        const char *more;
        uint32_t word[2];
        const char *why;
    } cases[] = {
        {"", {DEPARTED | 2, UINT32_MAX}, "a departure of worker 2, which pushes"},
        {"scheme=ssp ssp-staleness=0", {3, 3}, "a push of worker 3, which waits for a reply"},
        {"scheme=ssp ssp-staleness=0",
         {3, DEPARTED | 3},
         "a departure of worker 3, which waits for a reply"},
        {"depart=3=0", {2, UINT32_MAX}, "a push of worker 2, which has departed"},
        {"", {1, 4}, "is of worker 4 of 4: the record is damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct experiment e;
        struct child c = {.w = describe("asgd", 1, 1, cases[i].more), .servers = 1};
        add_option(&c.w, "samples=160");
        record(&e, &c.w, "order");
        experiment_close(&e);
        rewrite("order", 0, 0, cases[i].word, 2);
        assert_dies(EXIT_WORLD, replays, &c, (const char *const[]){"order.0", cases[i].why, NULL});
    }
    struct experiment e, again;
    struct option_list w = describe("asgd", 1, 1, "samples=160");
    record(&e, &w, "order");
    rewrite("order", 0, 5, &end, 1);
    replay(&again, &w, 1, 1);
    assert_int_equal(again.out.updates, 5); /* it ends where its record ends */
    experiment_close(&e);
    experiment_close(&again);
    w = describe("asgd", 1, 1, "samples=160 softsync=2");
    record(&e, &w, "order");
    rewrite("order", 0, 5, &end, 1);
    replay(&again, &w, 1, 1);
    assert_int_equal(again.out.updates, 2); /* the fifth push waits for a sixth */
    experiment_close(&e);
    experiment_close(&again);
}

/* Makes the record of rank 0 one of a run with a single server. */
static void make_single(const char *name, int servers)
{
    char path[100], command[300];
    snprintf(command, sizeof command, "sed -i 's/^servers = %d$/servers = 1/' %s", servers,
             path_of(path, name, 0));
    assert_int_equal(system(command), 0);
}

/* Where servers agree on rank 0's order, its record is that of all: one server that takes it makes
 * the same bits, and what the others' files hold is not asked. */
static void an_agreed_order_gives_the_bits_of_one_server(void **state)
{
    (void)state;
    for (int servers = 2; servers <= MOST_SERVERS; servers++)
        for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
            static const uint32_t end = UINT32_MAX;
            struct experiment several, again, single;
            struct option_list w = describe("backup", servers, seed, "samples=320"),
                               one = describe("backup", 1, seed, "samples=320");
            add_option(&w, "backup-workers=2");
            add_option(&one, "backup-workers=2");
            record(&several, &w, "order");
            rewrite("order", 1, 3, &end, 1);
            replay(&again, &w, servers, seed);
            make_single("order", servers);
            replay(&single, &one, 1, seed);
            assert_true(several.out.server.dropped_minibatches > 0);
            assert_true(same(&several, &again));
            assert_memory_equal(several.out.w, single.out.w,
                                (size_t)several.out.count * sizeof(float));
            experiment_close(&several);
            experiment_close(&again);
            experiment_close(&single);
        }
}

/* Then the other servers don't wait for the ends of their records. */
static void a_replay_may_be_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct experiment e;
        struct option_list with =
            describe("asgd", 3, (uint64_t)i / 2, "samples=800 delay=exponential:0.2");
        bool stops = i % 2;
        add_option(&with, "%s=%s/order", stops ? "replay" : "record", folder);
        add_option(&with, "overwrite=yes");
        experiment_defaults(&e, option_list_words(&with));
        e.stop_requested = stops;
        experiment_run(&e);
        assert_int_equal(e.out.status, stops ? EXIT_STOPPED : 0);
        assert_true(stops ? e.out.samples == 8 : e.out.samples >= 800);
        experiment_close(&e);
    }
}

static void files_of_two_recordings_are_refused(void **state)
{
    (void)state;
    struct experiment e;
    char mine[100], other[100];
    struct child c = {.w = describe("asgd", 2, 1, "samples=160"), .servers = 2};
    record(&e, &c.w, "order");
    experiment_close(&e);
    record(&e, &c.w, "other");
    experiment_close(&e);
    assert_int_equal(rename(path_of(other, "other", 1), path_of(mine, "order", 1)), 0);
    assert_dies(EXIT_USER, replays, &c,
                (const char *const[]){"order.1 and", "order.0 are of two recordings", NULL});
}

static void what_is_no_record_is_refused(void **state)
{
    (void)state;
    char path[100];
    struct child c = {.w = describe("asgd", 1, 1, "samples=160"), .servers = 1};
    static const char *const contents[][2] = {
        {"nbsgd order 1 4 asgd 1\n",
         "begins with 'nbsgd order 1 4 asgd 1', not with 'nbsgd order 3'"},
        {"nbsgd order 2\nrecording = 7\n", "begins with 'nbsgd order 2', not with 'nbsgd order 3'"},
        {"", "begins with '', not with"},
        {"nbsgd order 3\n", "ends within its head"},
        {"nbsgd order 3\nrecording = 7\nworkers = 4\n", "ends within its head"}};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        FILE *f = fopen(path_of(path, "order", 0), "wb");
        fputs(contents[i][0], f);
        fclose(f);
        assert_dies(EXIT_USER, replays, &c, (const char *const[]){"order.0", contents[i][1], NULL});
    }
    assert_int_equal(unlink(path), 0);
    assert_dies(EXIT_USER, replays, &c,
                (const char *const[]){"order.0", "No such file", "--record", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_is_exact_to_its_end),
        cmocka_unit_test(evaluations_change_nothing),
        cmocka_unit_test(a_record_that_breaks_off_leaves_the_rest_free),
        cmocka_unit_test(a_record_of_another_run_is_refused),
        cmocka_unit_test(what_cannot_come_is_said),
        cmocka_unit_test(an_agreed_order_gives_the_bits_of_one_server),
        cmocka_unit_test(a_replay_may_be_stopped),
        cmocka_unit_test(files_of_two_recordings_are_refused),
        cmocka_unit_test(what_is_no_record_is_refused),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
