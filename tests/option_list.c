#include "tests/option_list.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

void add_option(struct option_list *w, const char *format, ...)
{
    va_list args;
    CHECK(w->count < WORDS, "more than %d words", WORDS);
    va_start(args, format);
    vsnprintf(w->text[w->count], WORD, format, args);
    va_end(args);
    w->count++;
}

const char *const *option_list_words(struct option_list *w)
{
    for (int i = 0; i < w->count; i++)
        w->list[i] = w->text[i];
    w->list[w->count] = NULL;
    return w->list;
}

void add_plain_sgd(struct option_list *w, const char *scheme, double lr)
{
    add_option(w, "scheme=%s", scheme);
    add_option(w, "lr=%g", lr);
    add_option(w, "momentum=0");
    add_option(w, "weight-decay=0");
    add_option(w, "schedule=constant");
    add_option(w, "warmup=0");
}
