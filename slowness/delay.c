/* Delays and speed factors: parsed once, then a table of distributions that are drawn from by key.
 *
 * Law: delay_at() draws from random_at(RANDOM_DELAY, seed, rank, index, place of the term), so it
 * depends on nothing else; terms are independent and add up. Each is drawn by inversion but the
 * Gaussian, whose mean is that of max(0, x): negative delays are cut to 0, not redrawn. Cost: one
 * or two logarithms a term and mini-batch. */
#include "slowness/delay.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/random.h"

static double constant_draw(double a, double b, struct random *r)
{
    (void)b, (void)r;
    return a;
}

static double first_number(double a, double b)
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

/* The greatest number that may be asked for: thirty years. With a Pareto shape of 0.1 or more every
 * delay is finite. */
enum { LONGEST = 1000000000 };

static const struct kind {
    const char *name, *form;
    int numbers;
    double least_a, most_a, least_b, most_b;
    bool ordered; /* b may not be below a */
    double (*draw)(double a, double b, struct random *r);
    double (*mean)(double a, double b);
} kinds[] = {
    {"constant", "constant:SECONDS", 1, 0, LONGEST, 0, 0, false, constant_draw, first_number},
    {"gaussian", "gaussian:MEAN,DEVIATION", 2, 0, LONGEST, 0, LONGEST, false, gaussian_draw,
     gaussian_mean},
    {"exponential", "exponential:MEAN", 1, 0, LONGEST, 0, 0, false, exponential_draw, first_number},
    {"pareto", "pareto:SMALLEST,SHAPE", 2, 0, LONGEST, 0.1, LONGEST, false, pareto_draw,
     pareto_mean},
    {"uniform", "uniform:FROM,TO", 2, 0, LONGEST, 0, LONGEST, true, uniform_draw, uniform_mean},
    {"stall", "stall:PROBABILITY,SECONDS", 2, 0, 1, 0, LONGEST, false, stall_draw, stall_mean},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* What is being read: the option, all of its text, and how far. */
struct reader {
    const char *option, *forms, *text, *at;
};

_Noreturn static void refuse(const struct reader *r, const char *what)
{
    fatal("%s '%s': %s at %s%s%s; known forms: %s", r->option, r->text, what,
          *r->at ? "'" : "the end", r->at, *r->at ? "'" : "", r->forms);
}

static void skip_spaces(struct reader *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

static bool accept(struct reader *r, char c)
{
    skip_spaces(r);
    bool there = *r->at == c;
    r->at += there;
    return there;
}

/* A decimal number from `least` to `most`; strtod's hexadecimal, nan and infinity are not. */
static double read_number(struct reader *r, double least, double most)
{
    skip_spaces(r);
    char *end;
    size_t digits = strspn(r->at, "+-.0123456789eE");
    double number = strtod(r->at, &end);
    if (end == r->at || end > r->at + digits)
        refuse(r, "no number");
    if (!(number >= least && number <= most)) {
        char what[100];
        snprintf(what, sizeof what, "a number that is not from %g to %g", least, most);
        refuse(r, what);
    }
    r->at = end;
    return number;
}

static int read_rank(struct reader *r, int ranks)
{
    skip_spaces(r);
    char *end;
    if (!isdigit((unsigned char)*r->at))
        refuse(r, "no rank");
    unsigned long rank = strtoul(r->at, &end, 10); /* too large: ULONG_MAX, which no world has */
    if (rank >= (unsigned long)ranks) {
        char what[100];
        snprintf(what, sizeof what, "no such rank among %d", ranks);
        refuse(r, what);
    }
    r->at = end;
    return (int)rank;
}

static const struct kind *read_kind(struct reader *r)
{
    skip_spaces(r);
    for (int i = 0; i < KINDS; i++) {
        size_t length = strlen(kinds[i].name);
        if (!strncmp(r->at, kinds[i].name, length) && r->at[length] == ':') {
            r->at += length + 1;
            return &kinds[i];
        }
    }
    refuse(r, "no known kind of delay");
}

static struct delay_term read_term(struct reader *r, int ranks)
{
    const struct kind *k = read_kind(r);
    struct delay_term t = {.kind = (int)(k - kinds), .worker = -1};
    t.a = read_number(r, k->least_a, k->most_a);
    if (k->numbers == 2) {
        if (!accept(r, ','))
            refuse(r, "no second number");
        t.b = read_number(r, k->least_b, k->most_b);
        if (k->ordered && t.b < t.a)
            refuse(r, "an end before its start");
    }
    if (accept(r, '@'))
        t.worker = read_rank(r, ranks);
    return t;
}

struct delay delay_parse(const char *text, int ranks)
{
    char forms[400] = "";
    for (int i = 0; i < KINDS; i++)
        strcat(strcat(forms, i ? "; " : ""), kinds[i].form);
    strcat(forms, "; @RANK behind one: that rank alone; several: separated by ';'");
    struct reader r = {"--delay", forms, text, text};
    struct delay d = {.terms = 0};
    skip_spaces(&r);
    if (!*r.at)
        return d;
    do {
        if (d.terms == DELAY_TERMS)
            refuse(&r, "too many terms");
        d.term[d.terms++] = read_term(&r, ranks);
    } while (accept(&r, ';'));
    if (*r.at)
        refuse(&r, "something more");
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

double jitter_at(double scatter, uint64_t seed, int rank, int64_t index)
{
    if (scatter == 0)
        return 1;
    struct random r = random_at(RANDOM_SCATTER, seed, (uint64_t)rank, (uint64_t)index, 0);
    double variance = log1p(scatter * scatter); /* of the logarithm */
    return exp(sqrt(variance) * random_normal(&r) - variance / 2);
}

/* "RANK=NUMBER,RANK=NUMBER", each rank once; returns how many. */
static int read_ranks(struct reader *r, int ranks, double least, int rank[SLOW_WORKERS],
                      double number[SLOW_WORKERS])
{
    int count = 0;
    skip_spaces(r);
    if (!*r->at)
        return 0;
    do {
        if (count == SLOW_WORKERS)
            refuse(r, "too many ranks");
        rank[count] = read_rank(r, ranks);
        for (int i = 0; i < count; i++)
            if (rank[i] == rank[count])
                refuse(r, "a rank named twice");
        if (!accept(r, '='))
            refuse(r, "no '='");
        number[count++] = read_number(r, least, LONGEST);
    } while (accept(r, ','));
    if (*r->at)
        refuse(r, "something more");
    return count;
}

struct slowness slowness_parse(const char *text, int ranks)
{
    struct reader r = {"--slow", "RANK=FACTOR, several: separated by ','; a factor is 1 or more",
                       text, text};
    struct slowness s = {.count = 0};
    s.count = read_ranks(&r, ranks, 1, s.rank, s.factor);
    return s;
}

struct departures departures_parse(const char *text, int ranks)
{
    struct reader r = {"--depart", "RANK=MINIBATCHES, several: separated by ','", text, text};
    struct departures l = {.count = 0};
    l.count = read_ranks(&r, ranks, 0, l.rank, l.minibatches);
    return l;
}

double slowness_of(const struct slowness *s, int rank)
{
    for (int i = 0; i < s->count; i++)
        if (s->rank[i] == rank)
            return s->factor[i];
    return 1;
}

double departure_of(const struct departures *l, int rank)
{
    for (int i = 0; i < l->count; i++)
        if (l->rank[i] == rank)
            return l->minibatches[i];
    return INFINITY;
}
