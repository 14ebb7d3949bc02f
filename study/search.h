/* A search space, written down before: a line an option, "lr = log 0.001 1".
 *
 *   log A B       10^u, u uniform between the logarithms
 *   linear A B    uniform
 *   whole A B     whole numbers, uniform, both ends included
 *   choice X Y Z  one of these words
 *
 * Trial k takes the k-th point of Halton's sequence (Halton 1960), whose digits are permuted by a
 * fixed key of the dimension (Braaten and Weller 1979: else points of two great bases lie on
 * lines), moved by a keyed shift modulo 1 (Cranley and Patterson 1976). Dimensions of [tune] come
 * first, so trial k has the same values of these in every setting; those of [tune NAME] are that
 * setting's alone. */
#ifndef STUDY_SEARCH_H
#define STUDY_SEARCH_H

#include "study/private.h"

enum { MOST_DIMENSIONS = 16, MOST_CHOICES = 32, SEARCH_VALUE = 64 };

struct dimension {
    const struct assignment *at;
    enum { DIMENSION_LOG, DIMENSION_LINEAR, DIMENSION_WHOLE, DIMENSION_CHOICE } kind;
    double least, most;
    char choice[MOST_CHOICES][SEARCH_VALUE];
    int choices;
};

struct search {
    struct dimension list[MOST_DIMENSIONS];
    int count;
    int points; /* of a grid, all of which are tried; 0: no grid */
};

/* Of that setting; lines with one of the names `words` (ended by NULL) are none of the space. Fatal
 * on a line that is wrong, and where no line is left. To be released. */
struct search *search_of(const struct experiment *e, const char *setting, const char *const *words);

/* The grid of [folds]: a line an option, "lr = 0.01 0.1"; trials go over all combinations. */
struct search *grid_of(const struct experiment *e, const char *const *words);

/* The value of trial number `trial`, from 0. */
void search_value(const struct search *s, int dimension, int trial, char value[SEARCH_VALUE]);

/* Does this value lie in the outer tenth of a range, so that a better one may be beyond it? */
bool search_is_at_end(const struct search *s, int dimension, const char *value);

enum { GREATEST_BASE = 53 };
/* Halton's: digits of `index` in that base, mirrored at the point, each replaced by digit[it]
 * (NULL: as it is). digit[0] is 0. [0, 1) */
double radical_inverse(int index, int base, const int32_t *digit);

/* Coordinate `dimension` of the point of trial `trial`, from 0. [0, 1) */
double search_point(int dimension, int trial);

#endif
