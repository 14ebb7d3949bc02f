/* Delays: parsed once, then drawn from by key.
 *
 * Invariant: delay_at() draws from random_at(purpose, seed, rank, index, place of the term) and
 * depends on nothing else; terms are independent and add up. A burst's index is that of its block.
 * Draws are by inversion but for the normal ones. What is cut, to 0 or to a cap, is not drawn
 * again: the mean is that of the cut variable. Cost: one or two logarithms per term and delay. */
#include "slowness/delay.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/random.h"
#include "slowness/reader.h"

static double constant_draw(const double *a, struct random *r)
{
    (void)r;
    return a[0];
}

static double first_argument(const double *a)
{
    return a[0];
}

static double gaussian_draw(const double *a, struct random *r)
{
    return fmax(0, a[0] + a[1] * random_normal(r));
}

static double gaussian_mean(const double *a)
{
    if (a[1] == 0)
        return a[0];
    double z = a[0] / a[1];
    return a[0] * 0.5 * erfc(-z * M_SQRT1_2) + a[1] * exp(-z * z / 2) / sqrt(2 * M_PI);
}

/* 1 - u is in (0, 1]: no logarithm of 0, no division by 0. */
static double exponential_draw(const double *a, struct random *r)
{
    return -a[0] * log(1 - random_uniform(r));
}

static double pareto_draw(const double *a, struct random *r)
{
    return a[0] * pow(1 - random_uniform(r), -1 / a[1]);
}

static double pareto_mean(const double *a)
{
    return a[1] > 1 ? a[0] * a[1] / (a[1] - 1) : INFINITY;
}

static double uniform_draw(const double *a, struct random *r)
{
    return a[0] + (a[1] - a[0]) * random_uniform(r);
}

static double uniform_mean(const double *a)
{
    return a[0] / 2 + a[1] / 2;
}

static double stall_draw(const double *a, struct random *r)
{
    return random_uniform(r) < a[0] ? a[1] : 0;
}

static double stall_mean(const double *a)
{
    return a[0] * a[1];
}

/* mu and sigma of the logarithm */
static void lognormal_shape(const double *a, double *mu, double *sigma)
{
    double variance = log1p(a[1] / a[0] * (a[1] / a[0]));
    *mu = log(a[0]) - variance / 2;
    *sigma = sqrt(variance);
}

static double lognormal_draw(const double *a, struct random *r)
{
    double mu, sigma;
    lognormal_shape(a, &mu, &sigma);
    return fmin(exp(mu + sigma * random_normal(r)), a[2]);
}

static double normal_below(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double lognormal_mean(const double *a)
{
    double mu, sigma;
    lognormal_shape(a, &mu, &sigma);
    if (sigma == 0 || isinf(a[2]))
        return fmin(a[0], a[2]);
    double z = (log(a[2]) - mu) / sigma;
    return a[0] * normal_below(z - sigma) + a[2] * normal_below(-z);
}

/* With a Pareto shape of 0.1 or more every delay is finite. */
static const struct kind {
    const char *name;
    const char *arguments; /* up to three, separated by commas */
    const char *line;      /* for --help */
    int count, optional;   /* of arguments; of these, that may be left out at the end */
    double least[3], most[3];
    bool ordered; /* the second must not be below the first */
    bool blocks;  /* drawn once for as many delays as the third argument says */
    double (*draw)(const double *a, struct random *r);
    double (*mean)(const double *a);
} kinds[] = {
    {.name = "constant",
     .arguments = "SECONDS",
     .line = "every mini-batch is delayed by as much",
     .count = 1,
     .most = {READER_MOST},
     .draw = constant_draw,
     .mean = first_argument},
    {.name = "gaussian",
     .arguments = "MEAN,DEVIATION",
     .line = "normally distributed; negative ones are 0",
     .count = 2,
     .most = {READER_MOST, READER_MOST},
     .draw = gaussian_draw,
     .mean = gaussian_mean},
    {.name = "exponential",
     .arguments = "MEAN",
     .line = "exponential: mostly short, sometimes long",
     .count = 1,
     .most = {READER_MOST},
     .draw = exponential_draw,
     .mean = first_argument},
    {.name = "pareto",
     .arguments = "SMALLEST,SHAPE",
     .line = "heavy-tailed; infinite mean for a shape <= 1",
     .count = 2,
     .least = {0, 0.1},
     .most = {READER_MOST, READER_MOST},
     .draw = pareto_draw,
     .mean = pareto_mean},
    {.name = "lognormal",
     .arguments = "MEAN,DEVIATION[,CAP]",
     .line = "log-normal, mean and deviation its own; not above CAP",
     .count = 3,
     .optional = 1,
     .least = {1e-9, 0, 0},
     .most = {READER_MOST, READER_MOST, READER_MOST},
     .draw = lognormal_draw,
     .mean = lognormal_mean},
    {.name = "uniform",
     .arguments = "FROM,TO",
     .line = "anything between, equally likely",
     .count = 2,
     .most = {READER_MOST, READER_MOST},
     .ordered = true,
     .draw = uniform_draw,
     .mean = uniform_mean},
    {.name = "stall",
     .arguments = "PROBABILITY,SECONDS",
     .line = "as much with that probability, else nothing",
     .count = 2,
     .most = {1, READER_MOST},
     .draw = stall_draw,
     .mean = stall_mean},
    {.name = "burst",
     .arguments = "PROBABILITY,SECONDS,LENGTH",
     .line = "a stall drawn once for LENGTH mini-batches in a row",
     .count = 3,
     .least = {0, 0, 1},
     .most = {1, READER_MOST, READER_MOST},
     .blocks = true,
     .draw = stall_draw,
     .mean = stall_mean},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

void delay_list(FILE *to)
{
    for (int i = 0; i < KINDS; i++) {
        char form[60];
        snprintf(form, sizeof form, "%s:%s", kinds[i].name, kinds[i].arguments);
        fprintf(to, "  %-26s %s\n", form, kinds[i].line);
    }
    fprintf(to, "  %-26s %s\n", "TERM@RANK", "that rank alone; several terms add up, TERM;TERM");
    fprintf(to, "  %-26s %s\n", "TERM!", "nothing interrupts it: the process stands still");
}

/* What may be written, in one line. */
static void write_forms(char *to, size_t size, const char *standstill)
{
    int at = 0;
    for (int i = 0; i < KINDS; i++)
        at += snprintf(to + at, size - (size_t)at, "%s:%s; ", kinds[i].name, kinds[i].arguments);
    snprintf(to + at, size - (size_t)at, "%sTERM@RANK: that rank alone; several: separated by ';'",
             standstill);
}

static const struct kind *read_kind(struct reader *r)
{
    for (int i = 0; i < KINDS; i++)
        if (reader_accept_word(r, kinds[i].name, ':'))
            return &kinds[i];
    reader_refuse(r, "no known kind of delay");
}

static struct delay_term read_term(struct reader *r, int ranks, bool interrupts)
{
    const struct kind *k = read_kind(r);
    struct delay_term t = {.kind = (int)(k - kinds), .worker = -1};
    static const char *const missing[] = {"", "no second number", "no third number"};
    for (int i = 0; i < k->count; i++) {
        t.argument[i] = INFINITY;
        if (i && !reader_accept(r, ',')) {
            if (i < k->count - k->optional)
                reader_refuse(r, missing[i]);
            continue;
        }
        t.argument[i] = reader_number(r, k->least[i], k->most[i]);
    }
    if (k->blocks && t.argument[2] != floor(t.argument[2]))
        reader_refuse(r, "no whole number of mini-batches");
    if (k->ordered && t.argument[1] < t.argument[0])
        reader_refuse(r, "an end before its start");
    t.standstill = interrupts && reader_accept(r, '!');
    if (reader_accept(r, '@')) {
        t.worker = reader_rank(r, ranks);
        t.standstill = t.standstill || (interrupts && reader_accept(r, '!'));
    }
    return t;
}

static struct delay parse(const char *option, enum random_purpose purpose, const char *text,
                          int ranks)
{
    char forms[600];
    bool interrupts = purpose == RANDOM_DELAY;
    write_forms(forms, sizeof forms, interrupts ? "TERM!: nothing interrupts it; " : "");
    struct reader r = {option, forms, text, text};
    struct delay d = {.purpose = purpose};
    if (reader_at_end(&r))
        return d;
    do {
        if (d.terms == DELAY_TERMS)
            reader_refuse(&r, "too many terms");
        d.term[d.terms++] = read_term(&r, ranks, interrupts);
    } while (reader_accept(&r, ';'));
    if (!reader_at_end(&r))
        reader_refuse(&r, "something more");
    return d;
}

struct delay delay_parse(const char *text, int ranks)
{
    return parse("--delay", RANDOM_DELAY, text, ranks);
}

struct delay delay_parse_links(const char *text, int ranks)
{
    return parse("--link-delay", RANDOM_LINK_DELAY, text, ranks);
}

double delay_at(const struct delay *d, uint64_t seed, int rank, int64_t index, bool standstill)
{
    double seconds = 0;
    for (int i = 0; i < d->terms; i++) {
        const struct delay_term *t = &d->term[i];
        const struct kind *k = &kinds[t->kind];
        if ((t->worker >= 0 && t->worker != rank) || t->standstill != standstill)
            continue;
        int64_t number = k->blocks ? index / (int64_t)t->argument[2] : index;
        struct random r =
            random_at(d->purpose, seed, (uint64_t)rank, (uint64_t)number, (uint64_t)i);
        seconds += k->draw(t->argument, &r);
    }
    assert(seconds >= 0);
    return seconds;
}

double delay_course_at(const struct delay *d, uint64_t seed, int rank, bool standstill,
                       struct delay_course *course, double block_s, double clock_s,
                       double compute_s)
{
    double now_s = clock_s, left_s = compute_s, held_s = 0;
    struct delay_course ahead = *course;
    for (;;) {
        double away_s = ahead.there_s + block_s; /* delay `next` begins */
        if (now_s + left_s < away_s)
            return held_s;
        double there_s = away_s + delay_at(d, seed, rank, ahead.next, standstill);
        if (away_s > now_s) {
            left_s -= away_s - now_s;
            now_s = away_s;
        }
        if (there_s > now_s) {
            held_s += there_s - now_s;
            now_s = there_s;
        }
        ahead = (struct delay_course){ahead.next + 1, there_s};
        if (there_s <= clock_s) /* what a mini-batch that is dropped may meet again stays */
            *course = ahead;
    }
}

double delay_mean(const struct delay *d, int rank)
{
    double seconds = 0;
    for (int i = 0; i < d->terms; i++)
        if (d->term[i].worker < 0 || d->term[i].worker == rank)
            seconds += kinds[d->term[i].kind].mean(d->term[i].argument);
    return seconds;
}
