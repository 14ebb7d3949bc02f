#include "slowness/reader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

_Noreturn void reader_refuse(const struct reader *r, const char *what)
{
    fatal("%s '%s': %s at %s%s%s; known forms: %s", r->option, r->text, what,
          *r->at ? "'" : "the end", r->at, *r->at ? "'" : "", r->forms);
}

static void skip_blanks(struct reader *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

bool reader_at_end(struct reader *r)
{
    skip_blanks(r);
    return !*r->at;
}

bool reader_accept(struct reader *r, char c)
{
    skip_blanks(r);
    bool found = *r->at == c;
    r->at += found;
    return found;
}

bool reader_accept_word(struct reader *r, const char *word, char after)
{
    skip_blanks(r);
    size_t length = strlen(word);
    bool found = !strncmp(r->at, word, length) && r->at[length] == after;
    r->at += found ? length + 1 : 0;
    return found;
}

double reader_number(struct reader *r, double least, double most)
{
    skip_blanks(r);
    char *end;
    size_t digits = strspn(r->at, "+-.0123456789eE");
    double number = strtod(r->at, &end);
    if (end == r->at || end > r->at + digits)
        reader_refuse(r, "no number");
    if (!(number >= least && number <= most)) {
        char what[100];
        snprintf(what, sizeof what, "a number that is not from %g to %g", least, most);
        reader_refuse(r, what);
    }
    r->at = end;
    return number;
}

int reader_rank(struct reader *r, int ranks)
{
    skip_blanks(r);
    char *end;
    if (!isdigit((unsigned char)*r->at))
        reader_refuse(r, "no rank");
    unsigned long rank = strtoul(r->at, &end, 10); /* too large: ULONG_MAX, which no world has */
    if (rank >= (unsigned long)ranks) {
        char what[100];
        snprintf(what, sizeof what, "no such rank among %d", ranks);
        reader_refuse(r, what);
    }
    r->at = end;
    return (int)rank;
}

int reader_ranks(struct reader *r, int ranks, double least, int rank[RANKS_NAMED],
                 double number[RANKS_NAMED])
{
    int count = 0;
    if (reader_at_end(r))
        return 0;
    do {
        if (count == RANKS_NAMED)
            reader_refuse(r, "too many ranks");
        rank[count] = reader_rank(r, ranks);
        for (int i = 0; i < count; i++)
            if (rank[i] == rank[count])
                reader_refuse(r, "a rank named twice");
        if (!reader_accept(r, '='))
            reader_refuse(r, "no '='");
        number[count++] = reader_number(r, least, READER_MOST);
    } while (reader_accept(r, ','));
    if (!reader_at_end(r))
        reader_refuse(r, "something more");
    return count;
}
