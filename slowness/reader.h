/* Reads the short languages of --delay, --link-burst, --slow and --depart: words, numbers, ranks,
 * one sign after the other. Private to slowness/.
 *
 * Blanks before a word are skipped. What does not fit is fatal; the line names the option, its
 * text, the place, and the forms that are known. */
#ifndef SLOWNESS_READER_H
#define SLOWNESS_READER_H

#include <stdbool.h>

enum { RANKS_NAMED = 64 };

struct reader {
    const char *option, *forms, *text; /* "--delay", what may be written, all that was */
    const char *at;                    /* how far it has been read */
};

/* The greatest number that may be asked for, in seconds thirty years. */
#define READER_MOST 1e9

_Noreturn void reader_refuse(const struct reader *r, const char *what);
bool reader_at_end(struct reader *r);
bool reader_accept(struct reader *r, char c); /* reads c if it comes next */
bool reader_accept_word(struct reader *r, const char *word, char after); /* "word" and `after` */

/* A decimal number from `least` to `most`. strtod's hexadecimal, nan and infinity are none. */
double reader_number(struct reader *r, double least, double most);
int reader_rank(struct reader *r, int ranks);

/* "RANK=NUMBER,RANK=NUMBER" to the end, each rank once; returns how many; 0 of an empty text. */
int reader_ranks(struct reader *r, int ranks, double least, int rank[RANKS_NAMED],
                 double number[RANKS_NAMED]);

#endif
