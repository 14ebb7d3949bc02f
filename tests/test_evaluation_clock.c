/* Evaluations and the training clock, for every scheme on the simulated network: they change
 * nothing of a run, not the time of one update; and those of --eval-seconds judge the weights that
 * hold at the same moments in every scheme. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "scheme/scheme.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 4, UPDATES = 40, MOST_ROWS = 4000 };

static const double moment_s = 0.17;

struct row {
    double seconds, loss;
    int updates;
};

struct recorded {
    char *events; /* lines of updates, as they were written */
    struct row update[MOST_ROWS], row[MOST_ROWS];
    int updates, rows;
};

static char *read_updates(const char *folder)
{
    char path[200], line[1000], *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size), *f;
    snprintf(path, sizeof path, "%s/events.jsonl", folder);
    assert_non_null(f = fopen(path, "r"));
    while (fgets(line, sizeof line, f))
        if (strstr(line, "\"update\""))
            fputs(line, to);
    fclose(f);
    fclose(to);
    return text;
}

static void read_rows(struct recorded *r, const char *folder)
{
    char path[200], line[1000];
    snprintf(path, sizeof path, "%s/eval.csv", folder);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (r->rows = 0; fgets(line, sizeof line, f);) {
        struct row *row = &r->row[r->rows];
        assert_true(r->rows < MOST_ROWS - 1);
        r->rows +=
            sscanf(line, "%lf,%*d,%d,%*f,%lf", &row->seconds, &row->updates, &row->loss) == 3;
    }
    fclose(f);
    r->updates = 0;
    for (const char *at = r->events; (at = strstr(at, "\"seconds\": ")); at++) {
        assert_true(r->updates < MOST_ROWS);
        r->update[r->updates++].seconds = atof(at + strlen("\"seconds\": "));
    }
}

static void add_words(struct option_list *w, const char *words)
{
    char copy[100], *save = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(w, "%s", word);
}

/* The workers' steps make the servers' w[0] count updates, where gradients are pushed. */
static void record(struct recorded *r, const struct scheme *s, int servers, const char *more)
{
    char folder[] = "/tmp/test_clock.XXXXXX", command[100];
    struct experiment e;
    struct option_list w = {0};
    assert_non_null(mkdtemp(folder));
    add_plain_sgd(&w, s->name, 0.05);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "servers=%d", servers);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=16");
    add_option(&w, "samples=%d", 16 * WORKERS * UPDATES);
    add_option(&w, "backup-workers=1");
    add_option(&w, "delay=exponential:0.05");
    add_option(&w, "sim-bandwidth=2e5"); /* a message takes 0.04 s: some are always under way */
    add_words(&w, more);
    experiment_defaults(&e, option_list_words(&w));
    e.results = results_open(&(struct results_options){
        .folder = folder, .head = "# a: b\n", .config = "", .thresholds = "50", .quiet = true});
    experiment_run(&e);
    results_close(e.results);
    r->events = read_updates(folder);
    read_rows(r, folder);
    experiment_close(&e);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void assert_same_run(const struct scheme *s, const char *option, const char *plain,
                            const char *evaluated)
{
    size_t same = 0;
    while (plain[same] && plain[same] == evaluated[same])
        same++;
    if (plain[same] != evaluated[same])
        fail_msg("%s: with %s another run after %zu bytes: ..%.120s", s->name, option, same,
                 evaluated + (same > 60 ? same - 60 : 0));
}

/* Seldom a version, often a version, often a moment: the same updates at the same times. Where
 * workers agree among themselves an evaluation of a version makes them wait for rank 0's word. */
static void evaluations_change_no_run(void **state)
{
    (void)state;
    static const char *const options[] = {"eval-every=1", "eval-seconds=0.047"};
    struct recorded *plain = xcalloc(1, sizeof *plain), *r = xcalloc(1, sizeof *r);
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (int servers = 1; servers <= (s->flags & PUSHES ? 2 : 1); servers++) {
            record(plain, s, servers, "");
            for (int i = s->flags & DECENTRAL ? 1 : 0; i < 2; i++) {
                record(r, s, servers, options[i]);
                assert_true(r->rows > plain->rows + 4);
                assert_same_run(s, options[i], plain->events, r->events);
                free(r->events);
            }
            free(plain->events);
        }
    xfree(r);
    xfree(plain);
}

/* Versions made until then; one made just then may count or not. */
static int made_until(const struct recorded *r, double seconds)
{
    int made = 0;
    while (made < r->updates && r->update[made].seconds <= seconds + 1e-6)
        made++;
    return made;
}

static void check_moments(const struct scheme *s, const struct recorded *r)
{
    double end = r->update[r->updates - 1].seconds;
    int moments = (int)(end / moment_s - 1e-9);
    if (r->rows != 2 + moments) /* the first weights, the moments, the end */
        fail_msg("%s: %d rows, %d moments", s->name, r->rows, moments);
    for (int k = 1; k <= moments; k++) {
        const struct row *row = &r->row[k];
        if (fabs(row->seconds - k * moment_s) > 2e-6)
            fail_msg("%s: row %d is of %g s", s->name, k, row->seconds);
        int made = made_until(r, row->seconds);
        if (abs(row->updates - made) > (s->flags & DECENTRAL ? 1 : 0))
            fail_msg("%s: at %g s version %d holds, %d was judged", s->name, row->seconds, made,
                     row->updates);
        if (s->flags & EXACT && fabs(row->loss - row->updates * 0.05) > 0.051)
            fail_msg("%s: version %d has loss %g", s->name, row->updates, row->loss);
    }
}

static void the_same_moments_in_every_scheme(void **state)
{
    (void)state;
    struct recorded *r = xcalloc(1, sizeof *r);
    char option[40];
    snprintf(option, sizeof option, "eval-seconds=%g", moment_s);
    for (const struct scheme *const *each = schemes; *each; each++) {
        record(r, *each, 1, option);
        check_moments(*each, r);
        free(r->events);
    }
    xfree(r);
}

/* Weights that everybody has left are final. Rank 0 learns of it when its last replies have come
 * and are answered by departures; while it then waits for counters no moment comes any more. Over
 * MPI nobody would answer its call. */
static void no_moment_comes_when_all_have_departed(void **state)
{
    (void)state;
    const double replies_s = WORKERS * 0.045;
    struct recorded *r = xcalloc(1, sizeof *r);
    record(r, scheme_find("ssgd"), 1, "depart=1=6,2=6,3=6,4=6 eval-seconds=0.01");
    assert_int_equal(r->updates, 3);
    double last_s = r->row[r->rows - 1].seconds, end_s = r->update[2].seconds + replies_s;
    if (last_s > end_s)
        fail_msg("all have departed at %g s, and a row is of %g s", end_s, last_s);
    free(r->events);
    xfree(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluations_change_no_run),
        cmocka_unit_test(the_same_moments_in_every_scheme),
        cmocka_unit_test(no_moment_comes_when_all_have_departed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
