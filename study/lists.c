/* Lists of numbers in an experiment. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "study/private.h"

static const char blanks[] = " \t,";
enum { LONGEST_NUMBER = 18 };

/* "12" or "12-20". */
static bool read_range(const char *word, int64_t *first, int64_t *last)
{
    size_t length = strspn(word, "0123456789");
    const char *rest = word + length;
    if (!length || length > LONGEST_NUMBER)
        return false;
    *first = *last = strtoll(word, NULL, 10);
    if (!*rest)
        return true;
    length = strspn(rest + 1, "0123456789");
    if (*rest != '-' || !length || length > LONGEST_NUMBER || rest[1 + length])
        return false;
    *last = strtoll(rest + 1, NULL, 10);
    return *last >= *first;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void refuse_twice(const struct assignment *a, const int64_t *list, int count)
{
    char what[80];
    int64_t *sorted = xcalloc((size_t)count, sizeof *sorted);
    memcpy(sorted, list, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    for (int i = 1; i < count; i++)
        if (sorted[i] == sorted[i - 1]) {
            snprintf(what, sizeof what, "%lld comes twice; leave one", (long long)sorted[i]);
            refuse(a, what);
        }
    xfree(sorted);
}

int64_t *numbers_of(const struct assignment *a, int *count)
{
    char what[200], *save = NULL, *text = strdup(a->value);
    int64_t *list = xcalloc(MOST_SEEDS, sizeof *list), first, last;
    CHECK(text, "no memory for %s", a->value);
    *count = 0;
    for (char *word = strtok_r(text, blanks, &save); word; word = strtok_r(NULL, blanks, &save)) {
        if (!read_range(word, &first, &last)) {
            snprintf(what, sizeof what,
                     "'%.40s' is neither a whole number nor a range of them, as in '1-5 101'",
                     word);
            refuse(a, what);
        }
        if (last - first >= MOST_SEEDS - *count) {
            snprintf(what, sizeof what, "more than %d of them", MOST_SEEDS);
            refuse(a, what);
        }
        for (int64_t n = first; n <= last; n++)
            list[(*count)++] = n;
    }
    free(text);
    if (!*count)
        refuse(a, "there is none; say some, as in '1-5 101'");
    refuse_twice(a, list, *count);
    return list;
}

bool read_real(const char *word, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(word, &end);
    return end != word && !*end && !errno && isfinite(*value) &&
           !word[strspn(word, "+-.0123456789eE")];
}

int percentages_of(const struct assignment *a, double list[MOST_TARGETS])
{
    char what[200], *save = NULL, *text = strdup(a->value);
    int count = 0;
    double value;
    CHECK(text, "no memory for %s", a->value);
    for (char *word = strtok_r(text, blanks, &save); word; word = strtok_r(NULL, blanks, &save)) {
        bool fits = read_real(word, &value) && value > 0 && value <= 100;
        if (!fits || count == MOST_TARGETS || (count && value <= list[count - 1])) {
            snprintf(what, sizeof what,
                     !fits ? "'%.40s' is no accuracy in percent, above 0 and at most 100"
                     : count == MOST_TARGETS ? "'%.40s' is one too many: 32 are taken"
                                             : "'%.40s' does not rise; write them in order",
                     word);
            refuse(a, what);
        }
        list[count++] = value;
    }
    free(text);
    if (!count)
        refuse(a, "there is none; say some, as in '60 70'");
    return count;
}
