/* Delays: parsed once, then drawn from by key.
 *
 * Invariant: delay_at() draws from random_at(RANDOM_DELAY, seed, rank, index, place of the term)
 * and depends on nothing else; terms are independent and add up. Each is drawn by inversion but the
 * Gaussian, whose mean is that of max(0, x): negative delays are cut to 0, not drawn again. Cost:
 * one or two logarithms per term and mini-batch. */
#include "slowness/delay.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/random.h"
#include "slowness/reader.h"

static double constant_draw(double a, double b, struct random *r)
{
    (void)b, (void)r;
    return a;
}

static double first_argument(double a, double b)
{
    (void)b;
    return a;
}

static double gaussian_draw(double a, double b, struct random *r)
{
    return fmax(0, a + b * random_normal(r));
}

static double gaussian_mean(double a, double b)
{
    if (b == 0)
        return a;
    double z = a / b;
    return a * 0.5 * erfc(-z * M_SQRT1_2) + b * exp(-z * z / 2) / sqrt(2 * M_PI);
}

/* 1 - u is in (0, 1]: no logarithm of 0, no division by 0. */
static double exponential_draw(double a, double b, struct random *r)
{
    (void)b;
    return -a * log(1 - random_uniform(r));
}

static double pareto_draw(double a, double b, struct random *r)
{
    return a * pow(1 - random_uniform(r), -1 / b);
}

static double pareto_mean(double a, double b)
{
    return b > 1 ? a * b / (b - 1) : INFINITY;
}

static double uniform_draw(double a, double b, struct random *r)
{
    return a + (b - a) * random_uniform(r);
}

static double uniform_mean(double a, double b)
{
    return a / 2 + b / 2;
}

static double stall_draw(double a, double b, struct random *r)
{
    return random_uniform(r) < a ? b : 0;
}

static double stall_mean(double a, double b)
{
    return a * b;
}

/* With a Pareto shape of 0.1 or more every delay is finite. */
static const struct kind {
    const char *name;
    const char *arguments; /* one or two, separated by a comma */
    const char *line;      /* for --help */
    int count;             /* of arguments */
    double least_a, most_a, least_b, most_b;
    bool ordered; /* b must not be below a */
    double (*draw)(double a, double b, struct random *r);
    double (*mean)(double a, double b);
} kinds[] = {
    {.name = "constant",
     .arguments = "SECONDS",
     .line = "every mini-batch is delayed by as much",
     .count = 1,
     .most_a = READER_MOST,
     .draw = constant_draw,
     .mean = first_argument},
    {.name = "gaussian",
     .arguments = "MEAN,DEVIATION",
     .line = "normally distributed; negative ones are 0",
     .count = 2,
     .most_a = READER_MOST,
     .most_b = READER_MOST,
     .draw = gaussian_draw,
     .mean = gaussian_mean},
    {.name = "exponential",
     .arguments = "MEAN",
     .line = "exponential: mostly short, sometimes long",
     .count = 1,
     .most_a = READER_MOST,
     .draw = exponential_draw,
     .mean = first_argument},
    {.name = "pareto",
     .arguments = "SMALLEST,SHAPE",
     .line = "heavy-tailed; infinite mean for a shape <= 1",
     .count = 2,
     .most_a = READER_MOST,
     .least_b = 0.1,
     .most_b = READER_MOST,
     .draw = pareto_draw,
     .mean = pareto_mean},
    {.name = "uniform",
     .arguments = "FROM,TO",
     .line = "anything between, equally likely",
     .count = 2,
     .most_a = READER_MOST,
     .most_b = READER_MOST,
     .ordered = true,
     .draw = uniform_draw,
     .mean = uniform_mean},
    {.name = "stall",
     .arguments = "PROBABILITY,SECONDS",
     .line = "as much with that probability, else nothing",
     .count = 2,
     .most_a = 1,
     .most_b = READER_MOST,
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
}

/* What may be written, in one line. */
static void write_forms(char *to, size_t size)
{
    int at = 0;
    for (int i = 0; i < KINDS; i++)
        at += snprintf(to + at, size - (size_t)at, "%s:%s; ", kinds[i].name, kinds[i].arguments);
    snprintf(to + at, size - (size_t)at, "TERM@RANK: that rank alone; several: separated by ';'");
}

static const struct kind *read_kind(struct reader *r)
{
    for (int i = 0; i < KINDS; i++)
        if (reader_accept_word(r, kinds[i].name, ':'))
            return &kinds[i];
    reader_refuse(r, "no known kind of delay");
}

static struct delay_term read_term(struct reader *r, int ranks)
{
    const struct kind *k = read_kind(r);
    struct delay_term t = {.kind = (int)(k - kinds), .worker = -1};
    t.a = reader_number(r, k->least_a, k->most_a);
    if (k->count == 2) {
        if (!reader_accept(r, ','))
            reader_refuse(r, "no second number");
        t.b = reader_number(r, k->least_b, k->most_b);
        if (k->ordered && t.b < t.a)
            reader_refuse(r, "an end before its start");
    }
    if (reader_accept(r, '@'))
        t.worker = reader_rank(r, ranks);
    return t;
}

struct delay delay_parse(const char *text, int ranks)
{
    char forms[400];
    write_forms(forms, sizeof forms);
    struct reader r = {"--delay", forms, text, text};
    struct delay d = {.terms = 0};
    if (reader_at_end(&r))
        return d;
    do {
        if (d.terms == DELAY_TERMS)
            reader_refuse(&r, "too many terms");
        d.term[d.terms++] = read_term(&r, ranks);
    } while (reader_accept(&r, ';'));
    if (!reader_at_end(&r))
        reader_refuse(&r, "something more");
    return d;
}

double delay_at(const struct delay *d, uint64_t seed, int rank, int64_t index)
{
    double seconds = 0;
    for (int i = 0; i < d->terms; i++) {
        const struct delay_term *t = &d->term[i];
        if (t->worker >= 0 && t->worker != rank)
            continue;
        struct random r =
            random_at(RANDOM_DELAY, seed, (uint64_t)rank, (uint64_t)index, (uint64_t)i);
        seconds += kinds[t->kind].draw(t->a, t->b, &r);
    }
    assert(seconds >= 0);
    return seconds;
}

double delay_mean(const struct delay *d, int rank)
{
    double seconds = 0;
    for (int i = 0; i < d->terms; i++)
        if (d->term[i].worker < 0 || d->term[i].worker == rank)
            seconds += kinds[d->term[i].kind].mean(d->term[i].a, d->term[i].b);
    return seconds;
}

double jitter_at(double deviation, uint64_t seed, int rank, int64_t index)
{
    if (deviation == 0)
        return 1;
    struct random r = random_at(RANDOM_JITTER, seed, (uint64_t)rank, (uint64_t)index, 0);
    double variance = log1p(deviation * deviation); /* of the logarithm */
    return exp(sqrt(variance) * random_normal(&r) - variance / 2);
}
