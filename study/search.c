#include "study/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"

static const int primes[MOST_DIMENSIONS] = {2,  3,  5,  7,  11, 13, 17, 19,
                                            23, 29, 31, 37, 41, 43, 47, 53};
static const char *const kinds[] = {
    [DIMENSION_LOG] = "log",
    [DIMENSION_LINEAR] = "linear",
    [DIMENSION_WHOLE] = "whole",
    [DIMENSION_CHOICE] = "choice",
};

static void read_range(struct dimension *d, char *const *word, int words)
{
    bool fits = words == 3 && read_real(word[1], &d->least) && read_real(word[2], &d->most) &&
                d->least < d->most;
    if (!fits)
        refuse(d->at, "two rising numbers are expected, as in 'log 0.001 1'");
    if (d->kind == DIMENSION_LOG && !(d->least > 0))
        refuse(d->at, "a range of log begins above 0");
    if (d->kind == DIMENSION_WHOLE &&
        (d->least != floor(d->least) || d->most != floor(d->most) || fabs(d->most) > 1e9))
        refuse(d->at, "two whole numbers are expected, as in 'whole 1 8'");
}

static void read_choices(struct dimension *d, char *const *word, int words)
{
    for (int i = 0; i < words; i++) {
        if (strlen(word[i]) >= SEARCH_VALUE)
            refuse(d->at, "a value of at most 63 bytes is expected");
        for (int k = 0; k < i; k++)
            if (!strcmp(word[i], word[k]))
                refuse(d->at, "a value comes twice; leave one");
        strcpy(d->choice[d->choices++], word[i]);
    }
}

static int split(const struct assignment *a, char *text, char *word[MOST_CHOICES + 1])
{
    char *save = NULL;
    int words = 0;
    for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        if (words == MOST_CHOICES)
            refuse(a, "more than 32 words");
        word[words++] = w;
    }
    return words;
}

static void read_dimension(struct dimension *d, const struct assignment *a)
{
    char *text = strdup(a->value), *word[MOST_CHOICES + 1];
    CHECK(text, "no memory for %s", a->value);
    int words = split(a, text, word), kind = 0;
    *d = (struct dimension){.at = a};
    while (kind < 4 && (!words || strcmp(word[0], kinds[kind])))
        kind++;
    if (kind == 4)
        refuse(a, "no search space: log A B, linear A B, whole A B or choice X Y .. is expected");
    d->kind = kind;
    if (d->kind == DIMENSION_CHOICE)
        read_choices(d, word + 1, words - 1);
    else
        read_range(d, word, words);
    if (d->kind == DIMENSION_CHOICE && d->choices < 2)
        refuse(d->at, "two values or more are expected, as in 'choice 0 0.9'");
    free(text);
}

static void read_grid_line(struct dimension *d, const struct assignment *a)
{
    char *text = strdup(a->value), *word[MOST_CHOICES + 1];
    CHECK(text, "no memory for %s", a->value);
    *d = (struct dimension){.at = a, .kind = DIMENSION_CHOICE};
    read_choices(d, word, split(a, text, word));
    if (!d->choices)
        refuse(a, "a value or more are expected, as in '0.01 0.1'");
    free(text);
}

static bool is_one_of(const char *const *words, const char *name)
{
    for (; words && *words; words++)
        if (!strcmp(*words, name))
            return true;
    return false;
}

static void add(struct search *s, const struct section *from, const char *const *words)
{
    for (int i = 0; from && i < from->count; i++) {
        const struct assignment *a = &from->list[i];
        if (is_one_of(words, a->name))
            continue;
        check_taken(a);
        for (int k = 0; k < s->count; k++)
            if (!strcmp(s->list[k].at->name, a->name))
                refuse(a, "[tune] has it for all settings; leave one");
        if (s->count == MOST_DIMENSIONS)
            refuse(a, "more than 16 options in one search space");
        read_dimension(&s->list[s->count++], a);
    }
}

struct search *search_of(const struct experiment *e, const char *setting, const char *const *words)
{
    struct search *s = xcalloc(1, sizeof *s);
    const struct section *all = experiment_find(e, SECTION_TUNE, "", "");
    add(s, all, words);
    add(s, experiment_find(e, SECTION_TUNE, setting, ""), NULL);
    if (!s->count)
        fatal("%s:%d: [tune] has no search space for [setting %s]: say one, as in 'lr = log 0.001 "
              "1'",
              all ? all->path : e->paths[0], all ? all->line : 1, setting);
    return s;
}

struct search *grid_of(const struct experiment *e, const char *const *words)
{
    static const int most = 10000;
    const struct section *folds = experiment_find(e, SECTION_FOLDS, "", "");
    struct search *s = xcalloc(1, sizeof *s);
    s->points = 1;
    for (int i = 0; folds && i < folds->count; i++) {
        const struct assignment *a = &folds->list[i];
        if (is_one_of(words, a->name))
            continue;
        check_taken(a);
        if (s->count == MOST_DIMENSIONS)
            refuse(a, "more than 16 options in one grid");
        read_grid_line(&s->list[s->count], a);
        s->points *= s->list[s->count++].choices;
        if (s->points > most)
            refuse(a, "with it the grid has more than 10000 points");
    }
    return s;
}

static const char *grid_value(const struct search *s, int dimension, int trial)
{
    for (int i = 0; i < dimension; i++)
        trial /= s->list[i].choices;
    return s->list[dimension].choice[trial % s->list[dimension].choices];
}

double radical_inverse(int index, int base, const int32_t *digit)
{
    double value = 0, place = 1.0 / base;
    for (; index > 0; index /= base, place /= base)
        value += (digit ? digit[index % base] : index % base) * place;
    return value;
}

double search_point(int dimension, int trial)
{
    int32_t digit[GREATEST_BASE];
    int base = primes[dimension];
    struct random r = random_at(RANDOM_SEARCH, (uint64_t)dimension, 0, 0, 0);
    double shift = random_uniform(&r);
    for (int i = 0; i < base; i++)
        digit[i] = i;
    random_shuffle(&r, digit + 1, base - 1); /* the endless zeros before a number stay */
    double u = radical_inverse(trial + 1, base, digit) + shift;
    return u - floor(u);
}

void search_value(const struct search *s, int dimension, int trial, char value[SEARCH_VALUE])
{
    const struct dimension *d = &s->list[dimension];
    if (s->points) {
        memcpy(value, grid_value(s, dimension, trial), SEARCH_VALUE);
        return;
    }
    double u = search_point(dimension, trial);
    switch (d->kind) {
    case DIMENSION_LOG:
        snprintf(value, SEARCH_VALUE, "%.4g", d->least * pow(d->most / d->least, u));
        break;
    case DIMENSION_LINEAR:
        snprintf(value, SEARCH_VALUE, "%.4g", d->least + (d->most - d->least) * u);
        break;
    case DIMENSION_WHOLE:
        snprintf(value, SEARCH_VALUE, "%.0f", d->least + floor((d->most - d->least + 1) * u));
        break;
    case DIMENSION_CHOICE:
        memcpy(value, d->choice[(int)(u * d->choices)], SEARCH_VALUE);
    }
}

bool search_is_at_end(const struct search *s, int dimension, const char *value)
{
    static const double outer = 0.1;
    const struct dimension *d = &s->list[dimension];
    double x = strtod(value, NULL), part = (x - d->least) / (d->most - d->least);
    if (d->kind == DIMENSION_CHOICE || d->kind == DIMENSION_WHOLE)
        return false;
    if (d->kind == DIMENSION_LOG)
        part = log(x / d->least) / log(d->most / d->least);
    return part < outer || part > 1 - outer;
}
