#include "base/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { FIRST = 1 << 10 };

struct journal {
    uint64_t *words; /* [count] of [room] */
    int64_t count, room;
    int64_t next; /* forwarded: the one that comes next */
    bool forwards;
};

struct journal *journal_open(void)
{
    return xcalloc(1, sizeof(struct journal));
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    free(j->words);
    xfree(j);
}

static void append(struct journal *j, const void *words, int64_t count)
{
    if (j->count + count > j->room) {
        while (j->count + count > j->room)
            j->room = j->room ? 2 * j->room : FIRST;
        j->words = realloc(j->words, (size_t)j->room * sizeof *j->words);
        CHECK(j->words, "no memory for a journal of %lld numbers", (long long)j->room);
    }
    memcpy(j->words + j->count, words, (size_t)count * sizeof *j->words);
    j->count += count;
}

void journal_forward(struct journal *j, const uint64_t *words, int64_t count)
{
    j->count = j->next = 0;
    append(j, words, count);
    j->forwards = true;
}

bool journal_forwards(const struct journal *j)
{
    return j && j->forwards;
}

bool journal_go_on(struct journal *j)
{
    j->forwards = false;
    return j->next == j->count;
}

void journal_left_course(void)
{
    die(EXIT_WORLD,
        "--resume: this run is not the one that was checkpointed: it takes another "
        "course. Take the program and the options of that run; nothing was overwritten");
}

void journal_words(struct journal *j, void *words, int64_t count)
{
    if (!j)
        return;
    if (!j->forwards) {
        append(j, words, count);
        return;
    }
    if (count > j->count - j->next)
        journal_left_course();
    memcpy(words, j->words + j->next, (size_t)count * sizeof *j->words);
    j->next += count;
}

double journal_number(struct journal *j, double number)
{
    journal_words(j, &number, 1);
    return number;
}

const uint64_t *journal_all(const struct journal *j, int64_t *count)
{
    *count = j->count;
    return j->words;
}
