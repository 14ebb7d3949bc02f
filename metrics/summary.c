/* The end of a run: ranks.csv, histograms.csv, summary.json and the closing table.
 *
 * Time to accuracy: training-clock seconds of the first evaluation at or above the threshold,
 * linearly interpolated from the one before it; null for a run that never got there. Wait share:
 * seconds that the workers waited for others, of all their seconds. */
#include <math.h>

#include "metrics/results.h"

/* Seconds until top-1 reached `threshold`, negative when it never did. */
static double time_to(const struct results *r, double threshold)
{
    for (int i = 0; i < r->score_count; i++) {
        const struct evaluation *s = &r->evaluation[i], *before = s - 1;
        if (s->top1 < threshold)
            continue;
        if (i == 0 || s->top1 <= before->top1)
            return s->seconds;
        return before->seconds + (s->seconds - before->seconds) * (threshold - before->top1) /
                                     (s->top1 - before->top1);
    }
    return -1;
}

static const char *role(const struct run_summary *s, int rank)
{
    return s->ranks == 1 ? "alone" : rank < s->servers ? "server" : "worker";
}

static void write_ranks(struct results *r, const struct run_summary *s)
{
    FILE *f = results_file(r, "ranks.csv", true);
    if (!f)
        return;
    fputs("rank,role,host,compute_s,delay_s,wait_s,transfer_s,eval_s,update_s,loader_s,aborted_s,"
          "sent_bytes,received_bytes,sent_messages,"
          "received_messages,samples,minibatches,aborted_samples,aborted_minibatches,updates,"
          "signals_heard,signals_late,signals_sent,"
          "signal_mean_s,signal_worst_s,uncompressed_bytes,compressed_bytes,dropped_samples,"
          "dropped_minibatches,"
          "minibatch_deviation_s\n",
          f);
    for (int i = 0; i < s->ranks; i++) {
        const struct counters *a = &s->counters[i];
        fprintf(f,
                "%d,%s,%s,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%lld,%lld,%lld,%lld,%lld,%lld,%"
                "lld,%lld,%lld,%lld,%lld,%lld,%.6f,%.6f,"
                "%lld,%lld,%lld,%lld,%.6f\n",
                i, role(s, i), s->host[i], a->compute_s, a->delay_s, a->wait_s, a->transfer_s,
                a->eval_s, a->update_s, a->loader_s, a->aborted_s, (long long)a->traffic.sent_bytes,
                (long long)a->traffic.received_bytes, (long long)a->traffic.sent_messages,
                (long long)a->traffic.received_messages, (long long)a->samples,
                (long long)a->minibatches, (long long)a->aborted_samples,
                (long long)a->aborted_minibatches, (long long)a->updates, (long long)a->signals,
                (long long)a->late_signals, (long long)a->announced,
                a->signals ? a->signal_s / (double)a->signals : 0, a->signal_worst_s,
                (long long)a->uncompressed_bytes, (long long)a->compressed_bytes,
                (long long)a->dropped_samples, (long long)a->dropped_minibatches,
                counters_deviation(a));
    }
    results_made(r, f, "ranks.csv");
    fclose(f);
}

static void write_histograms(struct results *r, const struct counters *server)
{
    const struct {
        const char *name;
        const struct histogram *h;
    } list[] = {{"staleness", &server->staleness},
                {"minibatches_per_update", &server->minibatches_per_update},
                {"contributions", &server->contributions}};
    FILE *f = results_file(r, "histograms.csv", true);
    if (!f)
        return;
    fputs("histogram,value,count\n", f);
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        for (int i = 0; i < HISTOGRAM; i++)
            if (list[k].h->bin[i])
                fprintf(f, "%s,%d,%lld\n", list[k].name, i, (long long)list[k].h->bin[i]);
    results_made(r, f, "histograms.csv");
    fclose(f);
}

struct totals { /* over the workers */
    double busy_s, wait_s, loader_s;
    int64_t aborted_samples, uncompressed_bytes, compressed_bytes; /* bytes: of the servers, too */
    int64_t dropped_samples; /* of the servers the first speaks for all */
};

static struct totals sum_workers(const struct run_summary *s)
{
    struct totals t = {.dropped_samples = s->counters[0].dropped_samples};
    for (int i = 0; i < s->ranks; i++) {
        t.uncompressed_bytes += s->counters[i].uncompressed_bytes;
        t.compressed_bytes += s->counters[i].compressed_bytes;
    }
    for (int i = s->ranks == 1 ? 0 : s->servers; i < s->ranks; i++) {
        const struct counters *a = &s->counters[i];
        t.busy_s += a->compute_s + a->delay_s + a->transfer_s;
        t.wait_s += a->wait_s;
        t.loader_s += a->loader_s;
        t.aborted_samples += a->aborted_samples;
        t.dropped_samples += i ? a->dropped_samples : 0;
    }
    return t;
}

static double share(double part, double rest)
{
    return part + rest > 0 ? part / (part + rest) : 0;
}

static void write_text(FILE *f, const char *name, const char *value)
{
    fprintf(f, "  \"%s\": \"", name);
    for (; *value; value++)
        if (*value == '"' || *value == '\\')
            fprintf(f, "\\%c", *value);
        else if ((unsigned char)*value >= ' ')
            fputc(*value, f);
    fputs("\",\n", f);
}

/* JSON knows no NaN and no infinity. */
static void write_number(FILE *f, const char *name, bool known, double value)
{
    if (known && isfinite(value))
        fprintf(f, "  \"%s\": %.6f,\n", name, value);
    else
        fprintf(f, "  \"%s\": null,\n", name);
}

static void write_summary(struct results *r, const struct run_summary *s, const struct totals *t)
{
    FILE *f = results_file(r, "summary.json", false);
    if (!f)
        return;
    const struct evaluation none = {0},
                            *last = r->score_count ? &r->evaluation[r->score_count - 1] : &none;
    fputs("{\n", f);
    write_text(f, "scheme", s->scheme);
    write_text(f, "world", s->world);
    write_text(f, "network", s->network);
    write_text(f, "data", s->data);
    write_text(f, "computes", s->computes);
    write_text(f, "status", s->status);
    if (s->divergence)
        write_text(f, "divergence", s->divergence);
    else
        fputs("  \"divergence\": null,\n", f);
    fprintf(f,
            "  \"workers\": %d,\n  \"servers\": %d,\n  \"seed\": %llu,\n  \"samples\": %lld,\n  "
            "\"updates\": %lld,\n  \"seconds\": %.6f,\n",
            s->workers, s->servers, (unsigned long long)s->seed, (long long)s->samples,
            (long long)s->updates, s->seconds);
    bool scored = r->score_count > 0;
    write_number(f, "top1", scored, last->top1);
    write_number(f, "top5", scored, last->top5);
    write_number(f, "best_top1", scored, results_best(r));
    write_number(f, "loss", scored, last->loss);
    fprintf(f,
            "  \"images_per_s\": %.4f,\n  \"wait_share\": %.6f,\n  \"aborted_samples\": %lld,\n"
            "  \"dropped_samples\": %lld,\n  \"uncompressed_bytes\": %lld,\n  "
            "\"compressed_bytes\": %lld,\n  \"staleness_mean\": %.6f,\n",
            s->seconds > 0 ? (double)s->samples / s->seconds : 0, share(t->wait_s, t->busy_s),
            (long long)t->aborted_samples, (long long)t->dropped_samples,
            (long long)t->uncompressed_bytes, (long long)t->compressed_bytes,
            histogram_mean(&s->counters[0].staleness));
    fprintf(f, "  \"minibatches_per_update\": %.6f,\n  \"tta\": {",
            histogram_mean(&s->counters[0].minibatches_per_update));
    for (int i = 0; i < r->thresholds; i++) {
        double seconds = time_to(r, r->threshold[i]);
        fprintf(f, "%s\"%g\": ", i ? ", " : "", r->threshold[i]);
        if (seconds < 0)
            fputs("null", f);
        else
            fprintf(f, "%.6f", seconds);
    }
    fputs("}\n}\n", f);
    results_made(r, f, "summary.json");
    fclose(f);
}

static void print_table(const struct results *r, const struct run_summary *s,
                        const struct totals *t)
{
    printf("%-5s %-7s %10s %9s %9s %11s %8s %9s %9s %9s\n", "rank", "role", "compute s", "delay s",
           "wait s", "transfer s", "eval s", "samples", "aborted", "MB sent");
    for (int i = 0; i < s->ranks; i++) {
        const struct counters *a = &s->counters[i];
        if (i == 16 && s->ranks > 20) {
            printf("  ... %d more ranks in %s/ranks.csv\n", s->ranks - i, r->folder);
            break;
        }
        printf("%-5d %-7s %10.2f %9.2f %9.2f %11.2f %8.2f %9lld %9lld %9.1f\n", i, role(s, i),
               a->compute_s, a->delay_s, a->wait_s, a->transfer_s, a->eval_s, (long long)a->samples,
               (long long)a->aborted_samples, (double)a->traffic.sent_bytes / 1e6);
    }
    printf("%s: %lld samples, %lld updates in %.1f s, %.1f images/s, workers waited %.1f %% of "
           "their time for others and %.2f %% "
           "for the loader, %lld samples done twice, staleness %.2f\n",
           s->scheme, (long long)s->samples, (long long)s->updates, s->seconds,
           s->seconds > 0 ? (double)s->samples / s->seconds : 0, 100 * share(t->wait_s, t->busy_s),
           100 * t->loader_s / (t->busy_s + t->wait_s + 1e-9), (long long)t->aborted_samples,
           histogram_mean(&s->counters[0].staleness));
    if (r->score_count)
        printf("top-1 %.2f %% at the end, %.2f %% at best\n",
               r->evaluation[r->score_count - 1].top1, results_best(r));
    printf("results: %s\n", r->folder);
    fflush(stdout);
}

void results_finish(struct results *r, const struct run_summary *s)
{
    if (!r)
        return;
    struct totals t = sum_workers(s);
    write_ranks(r, s);
    write_histograms(r, &s->counters[0]);
    write_summary(r, s, &t);
    if (!r->quiet)
        print_table(r, s, &t);
}
