#include "tests/words.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

void say(struct words *w, const char *format, ...)
{
    va_list args;
    CHECK(w->count < WORDS, "more than %d words", WORDS);
    va_start(args, format);
    vsnprintf(w->text[w->count], WORD, format, args);
    va_end(args);
    w->count++;
}

const char *const *words_list(struct words *w)
{
    for (int i = 0; i < w->count; i++)
        w->list[i] = w->text[i];
    w->list[w->count] = NULL;
    return w->list;
}

void say_plain(struct words *w, const char *scheme, double rate)
{
    say(w, "scheme=%s", scheme);
    say(w, "rate=%g", rate);
    say(w, "momentum=0");
    say(w, "decay=0");
    say(w, "schedule=constant");
    say(w, "warmup=0");
}
