/* The end of a run: ranks.csv, histograms.csv, summary.json and the closing table.
 *
 * Time to accuracy: see metrics/time_to_accuracy.c; null for a run that never got there. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "metrics/results.h"

static const char *role(const struct run_summary *s, int rank)
{
    return s->ranks == 1 ? "alone" : rank < s->servers ? "server" : "worker";
}

static double signal_mean_s(const struct counters *c)
{
    return c->signals.heard ? c->signals.latency_s / (double)c->signals.heard : 0;
}

static double minibatch_deviation_s(const struct counters *c)
{
    return moments_deviation(&c->minibatch_s);
}

/* A column of ranks.csv: a double or an int64_t of the counters, or what is computed of them. */
struct column {
    const char *name;
    enum { SECONDS, COUNT, COMPUTED } type;
    size_t offset;
    double (*compute)(const struct counters *c);
};

#define SECONDS_OF(field)                                                                          \
    {                                                                                              \
        .name = #field, .type = SECONDS, .offset = offsetof(struct counters, field)                \
    }
#define COUNT_OF(column, field)                                                                    \
    {                                                                                              \
        .name = column, .type = COUNT, .offset = offsetof(struct counters, field)                  \
    }

static const struct column columns[] = {
    SECONDS_OF(compute_s),
    SECONDS_OF(delay_s),
    SECONDS_OF(wait_s),
    SECONDS_OF(transfer_s),
    SECONDS_OF(eval_s),
    SECONDS_OF(update_s),
    SECONDS_OF(loader_s),
    SECONDS_OF(aborted_s),
    SECONDS_OF(dropped_s),
    COUNT_OF("sent_bytes", traffic.sent_bytes),
    COUNT_OF("received_bytes", traffic.received_bytes),
    COUNT_OF("sent_messages", traffic.sent_messages),
    COUNT_OF("received_messages", traffic.received_messages),
    COUNT_OF("samples", samples),
    COUNT_OF("minibatches", minibatches),
    COUNT_OF("aborted_minibatches", aborted_minibatches),
    COUNT_OF("updates", updates),
    COUNT_OF("signals_heard", signals.heard),
    COUNT_OF("signals_late", signals.late),
    COUNT_OF("signals_sent", signals.sent),
    {.name = "signal_mean_s", .type = COMPUTED, .compute = signal_mean_s},
    {.name = "signal_worst_s",
     .type = SECONDS,
     .offset = offsetof(struct counters, signals.worst_s)},
    COUNT_OF("uncompressed_bytes", uncompressed_bytes),
    COUNT_OF("compressed_bytes", compressed_bytes),
    COUNT_OF("dropped_samples", dropped_samples),
    COUNT_OF("dropped_minibatches", dropped_minibatches),
    {.name = "minibatch_deviation_s", .type = COMPUTED, .compute = minibatch_deviation_s},
    SECONDS_OF(other_s),
    SECONDS_OF(clock_s),
};

enum { COLUMNS = sizeof columns / sizeof *columns };

static void write_cell(FILE *f, const struct column *column, const struct counters *c)
{
    const char *at = (const char *)c + column->offset;
    if (column->type == COUNT)
        fprintf(f, ",%lld", (long long)*(const int64_t *)(const void *)at);
    else if (column->type == SECONDS)
        fprintf(f, ",%.6f", *(const double *)(const void *)at);
    else
        fprintf(f, ",%.6f", column->compute(c));
}

static void write_ranks(FILE *f, const void *summary)
{
    const struct run_summary *s = summary;
    fputs("rank,role,host", f);
    for (int k = 0; k < COLUMNS; k++)
        fprintf(f, ",%s", columns[k].name);
    fputs(",slow_met\n", f);
    for (int i = 0; i < s->ranks; i++) {
        fprintf(f, "%d,%s,%s", i, role(s, i), s->host[i]);
        for (int k = 0; k < COLUMNS; k++)
            write_cell(f, &columns[k], &s->counters[i]);
        double met = summary_slowness_met(s, i);
        fprintf(f, isnan(met) ? ",\n" : ",%.6f\n", met);
    }
}

static void write_histograms(FILE *f, const void *summary)
{
    const struct counters *server = &((const struct run_summary *)summary)->counters[0];
    const struct {
        const char *name;
        const struct histogram *h;
    } list[] = {{"staleness", &server->staleness},
                {"minibatches_per_update", &server->minibatches_per_update},
                {"contributions", &server->contributions}};
    fputs("histogram,value,count\n", f);
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        for (int i = 0; i < HISTOGRAM; i++)
            if (list[k].h->bin[i])
                fprintf(f, "%s,%d,%lld\n", list[k].name, i, (long long)list[k].h->bin[i]);
}

/* Shares of the workers' time, which add to one (metrics.h). */
enum { USEFUL, ABORTED, DROPPED, DELAY, UPDATE, TRANSFER, WAIT, OTHER, SHARES };

static const struct share_name {
    const char *key, *word; /* in summary.json; in the last lines */
} share_names[SHARES] = {
    [USEFUL] = {"useful_share", "useful"},      [ABORTED] = {"aborted_share", "aborted"},
    [DROPPED] = {"dropped_share", "dropped"},   [DELAY] = {"delay_share", "delayed"},
    [UPDATE] = {"update_share", "vector work"}, [TRANSFER] = {"transfer_share", "transfer"},
    [WAIT] = {"wait_share", "waiting"},         [OTHER] = {"other_share", "other"},
};

struct totals { /* over the workers */
    double seconds[SHARES], all_s, loader_s;
    int64_t aborted_minibatches;
    int64_t uncompressed_bytes, compressed_bytes; /* of the servers, too */
    int64_t dropped_samples;                      /* of the servers the first speaks for all */
};

static void add_worker(struct totals *t, const struct counters *a)
{
    const double seconds[SHARES] = {
        [USEFUL] = a->compute_s - a->aborted_s - a->dropped_s,
        [ABORTED] = a->aborted_s,
        [DROPPED] = a->dropped_s,
        [DELAY] = a->delay_s,
        [UPDATE] = a->update_s,
        [TRANSFER] = a->transfer_s,
        [WAIT] = a->wait_s,
        [OTHER] = a->other_s,
    };
    for (int k = 0; k < SHARES; k++)
        t->seconds[k] += seconds[k];
    t->all_s += a->clock_s;
    t->loader_s += a->loader_s;
    t->aborted_minibatches += a->aborted_minibatches;
}

static struct totals sum_workers(const struct run_summary *s)
{
    struct totals t = {.dropped_samples = s->counters[0].dropped_samples};
    for (int i = 0; i < s->ranks; i++) {
        t.uncompressed_bytes += s->counters[i].uncompressed_bytes;
        t.compressed_bytes += s->counters[i].compressed_bytes;
    }
    for (int i = s->ranks == 1 ? 0 : s->servers; i < s->ranks; i++) {
        add_worker(&t, &s->counters[i]);
        t.dropped_samples += i ? s->counters[i].dropped_samples : 0;
    }
    return t;
}

static double share_of(const struct totals *t, double seconds)
{
    return t->all_s > 0 ? seconds / t->all_s : 0;
}

static double images_per_s(const struct run_summary *s)
{
    return s->seconds > 0 ? (double)s->samples / s->seconds : 0;
}

/* Times to accuracy, one a threshold, keyed by its percentage; null when it was never reached. */
struct tta_fields {
    char key[MAX_THRESHOLDS][16];
    struct json_field first[MAX_THRESHOLDS + 1], confirmed[MAX_THRESHOLDS + 1];
};

static struct time_to_accuracy time_to(const struct results *r, int i)
{
    return time_to_accuracy(r->evaluation, r->evaluations, r->threshold[i]);
}

static void fill_tta(const struct results *r, struct tta_fields *tta)
{
    for (int i = 0; i < r->thresholds; i++) {
        struct time_to_accuracy t = time_to(r, i);
        snprintf(tta->key[i], sizeof tta->key[i], "%g", r->threshold[i]);
        tta->first[i] = (struct json_field)JSON_FIXED(tta->key[i], t.first_s);
        tta->confirmed[i] = (struct json_field)JSON_FIXED(tta->key[i], t.confirmed_s);
    }
    tta->first[r->thresholds] = tta->confirmed[r->thresholds] =
        (struct json_field){.type = JSON_END};
}

/* A line a threshold that was reached. */
static void print_tta(const struct results *r)
{
    for (int i = 0; i < r->thresholds; i++) {
        struct time_to_accuracy t = time_to(r, i);
        if (isnan(t.first_s))
            continue;
        printf("top-1 %g %%: ", r->threshold[i]);
        if (isnan(t.confirmed_s))
            printf("crossed after %.1f s, unconfirmed\n", t.first_s);
        else if (t.confirmed_s > t.first_s)
            printf("after %.1f s; crossed first after %.1f s\n", t.confirmed_s, t.first_s);
        else
            printf("after %.1f s\n", t.confirmed_s);
    }
}

static void write_fields(FILE *f, const void *fields)
{
    json_write(f, fields, NULL, true);
}

/* Of workers with weights of their own, at the last evaluation; null: there are none. */
static void fill_workers(const struct results *r, struct json_field field[8])
{
    static const struct workers_result none = {.distance = NAN,
                                               .farthest = NAN,
                                               .pairwise = NAN,
                                               .norm = NAN,
                                               .best_top1 = NAN,
                                               .worst_top1 = NAN,
                                               .mean_top1 = NAN};
    const struct workers_result *w = r->has_workers ? &r->workers : &none;
    const struct json_field fields[8] = {
        JSON_REAL("distance", w->distance),    JSON_REAL("farthest", w->farthest),
        JSON_REAL("pairwise", w->pairwise),    JSON_REAL("mean_norm", w->norm),
        JSON_FIXED("best_top1", w->best_top1), JSON_FIXED("worst_top1", w->worst_top1),
        JSON_FIXED("mean_top1", w->mean_top1), {.type = JSON_END}};
    memcpy(field, fields, sizeof fields);
}

static bool judges_held_out(const struct run_summary *s)
{
    return s->evaluated && !strcmp(s->evaluated, "val");
}

struct judged { /* by the weights of the last evaluation; NAN: there was none */
    struct evaluation last, test;
};

static struct judged judged_of(const struct results *r, const struct run_summary *s)
{
    const struct evaluation none = {.top1 = NAN, .top5 = NAN, .loss = NAN},
                            last = r->evaluations ? r->evaluation[r->evaluations - 1] : none;
    return (struct judged){last, judges_held_out(s) ? s->test : last};
}

#define TESTED(e)                                                                                  \
    JSON_FIXED("test_top1", (e).top1), JSON_FIXED("test_top5", (e).top5),                          \
        JSON_FIXED("test_loss", (e).loss)
#define SHARE(k) JSON_FIXED(share_names[k].key, share_of(t, t->seconds[k]))

static void write_summary(struct results *r, const struct run_summary *s, const struct totals *t)
{
    const struct judged judged = judged_of(r, s);
    const struct evaluation *last = &judged.last;
    const struct counters *server = &s->counters[0];
    struct json_field met[SLOW_WORKERS + 1], own[8];
    struct tta_fields tta;
    char slow_key[SLOW_WORKERS][12];
    slowed_fields(s, met, slow_key);
    fill_tta(r, &tta);
    fill_workers(r, own);
    const struct json_field fields[] = {
        JSON_TEXT("scheme", s->scheme),
        JSON_TEXT("world", s->world),
        JSON_TEXT("network", s->network),
        JSON_TEXT("data", s->data),
        JSON_TEXT("evaluated", s->evaluated),
        JSON_TEXT("computes", s->computes),
        JSON_TEXT("status", s->status),
        JSON_TEXT("divergence", s->divergence),
        JSON_TEXT("unwritten", r->unwritten),
        JSON_INT("workers", s->workers),
        JSON_INT("servers", s->servers),
        JSON_INT("seed", (int64_t)s->seed),
        JSON_INT("samples", s->samples),
        JSON_INT("updates", s->updates),
        JSON_FIXED("seconds", s->seconds),
        JSON_FIXED("top1", last->top1),
        JSON_FIXED("top5", last->top5),
        JSON_FIXED("best_top1", r->evaluations ? results_best(r) : NAN),
        JSON_FIXED("loss", last->loss),
        TESTED(judged.test),
        JSON_FIXED("images_per_s", images_per_s(s)),
        JSON_FIXED("worker_s", t->all_s),
        SHARE(USEFUL),
        SHARE(ABORTED),
        SHARE(DROPPED),
        SHARE(DELAY),
        SHARE(UPDATE),
        SHARE(TRANSFER),
        SHARE(WAIT),
        SHARE(OTHER),
        JSON_INT("aborted_minibatches", t->aborted_minibatches),
        JSON_INT("dropped_samples", t->dropped_samples),
        JSON_INT("uncompressed_bytes", t->uncompressed_bytes),
        JSON_INT("compressed_bytes", t->compressed_bytes),
        JSON_FIXED("least_use", s->least_use),
        JSON_BOOL("starved", s->starved),
        JSON_FIXED("staleness_mean", histogram_mean(&server->staleness)),
        JSON_FIXED("minibatches_per_update", histogram_mean(&server->minibatches_per_update)),
        JSON_FIXED("minibatches_per_update_harmonic",
                   histogram_harmonic_mean(&server->minibatches_per_update)),
        JSON_OBJECT("slow_met", met),
        JSON_OBJECT("workers_own", own),
        JSON_OBJECT("tta", tta.confirmed),
        JSON_OBJECT("tta_first", tta.first),
        {.type = JSON_END},
    };
    rows_write(r, "summary.json", false, write_fields, fields);
}

/* In percent; they add to 100. */
static void print_shares(const struct totals *t)
{
    printf("workers' time:");
    for (int k = 0; k < SHARES; k++)
        printf("%s %s %.1f", k ? "," : "", share_names[k].word, 100 * share_of(t, t->seconds[k]));
    printf(" %%\n");
}

static void print_table(const struct results *r, const struct run_summary *s,
                        const struct totals *t)
{
    printf("%-5s %-7s %10s %9s %9s %9s %9s %11s %8s %9s %9s\n", "rank", "role", "compute s",
           "aborted s", "dropped s", "delay s", "wait s", "transfer s", "eval s", "samples",
           "MB sent");
    for (int i = 0; i < s->ranks; i++) {
        const struct counters *a = &s->counters[i];
        if (i == 16 && s->ranks > 20) {
            printf("  ... %d more ranks in %s/ranks.csv\n", s->ranks - i, r->folder);
            break;
        }
        printf("%-5d %-7s %10.2f %9.2f %9.2f %9.2f %9.2f %11.2f %8.2f %9lld %9.1f\n", i, role(s, i),
               a->compute_s, a->aborted_s, a->dropped_s, a->delay_s, a->wait_s, a->transfer_s,
               a->eval_s, (long long)a->samples, (double)a->traffic.sent_bytes / 1e6);
    }
    printf("%s: %lld samples, %lld updates in %.1f s, %.1f images/s\n", s->scheme,
           (long long)s->samples, (long long)s->updates, s->seconds, images_per_s(s));
    print_shares(t);
    printf("waiting for the data loader, within computing: %.2f %%; mean staleness %.2f\n",
           100 * share_of(t, t->loader_s), histogram_mean(&s->counters[0].staleness));
    printf("mini-batches an update: mean %.2f, harmonic mean %.2f\n",
           histogram_mean(&s->counters[0].minibatches_per_update),
           histogram_harmonic_mean(&s->counters[0].minibatches_per_update));
    if (r->evaluations)
        printf("top-1 %.2f %% at the end, %.2f %% at best\n",
               r->evaluation[r->evaluations - 1].top1, results_best(r));
    if (judges_held_out(s) && !isnan(s->test.top1))
        printf("test images, which nothing was decided by: top-1 %.2f %%\n", s->test.top1);
    print_tta(r);
    slowed_print(s);
    printf("results: %s\n", r->folder);
    fflush(stdout);
}

bool results_finish(struct results *r, const struct run_summary *s)
{
    if (!r)
        return true;
    struct totals t = sum_workers(s);
    rows_close(r);
    rows_write(r, "ranks.csv", true, write_ranks, s);
    rows_write(r, "histograms.csv", true, write_histograms, s);
    write_summary(r, s, &t);
    if (!r->quiet)
        print_table(r, s, &t);
    results_say_unwritten(r);
    return !r->unwritten;
}
