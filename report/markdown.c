#include <string.h>

#include "report/report.h"
#include "report/tables.h"

/* As Markdown shows it: no tag, no entity, no cell's end. */
static void write_text(FILE *f, const char *text)
{
    for (; *text; text++)
        if (*text == '&' || *text == '<')
            fputs(*text == '&' ? "&amp;" : "&lt;", f);
        else
            fprintf(f, *text == '|' ? "\\%c" : "%c", *text);
}

static void write_table(FILE *f, const struct table *t)
{
    fprintf(f, "\n## %s\n\n%s\n\n|", t->title, t->words);
    for (int k = 0; k < t->columns; k++)
        fprintf(f, " %s |", t->heads[k]);
    fputs("\n|", f);
    for (int k = 0; k < t->columns; k++)
        fputs(k ? "---:|" : "---|", f);
    for (int i = 0; i < t->rows; i++) {
        fputs("\n|", f);
        for (int k = 0; k < t->columns; k++)
            fprintf(f, " %s |", t->cells[(int64_t)i * t->columns + k].text);
    }
    fputs("\n", f);
}

/* Cells that are missing are said first: what is below is of the others. */
void write_status(FILE *f, const struct source *s)
{
    static const char *const kinds[] = {"done", "diverged", "failed", "missing", "partial"};
    int count[5] = {0};
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < 5; k++)
            count[k] += !strcmp(s->runs[i].status, kinds[k]);
    fprintf(f, "%d runs:", s->count);
    for (int k = 0, said = 0; k < 5; k++)
        if (count[k])
            fprintf(f, "%s %d %s", said++ ? "," : "", count[k], kinds[k]);
    fputs(".\n", f);
}

void write_markdown(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    struct figure figures[MOST_FIGURES];
    char footer[REPORT_WORDS * 4];
    source_footer(s, -1, footer, sizeof footer);
    fputs("# ", f);
    write_text(f, s->title);
    fputs("\n\n", f);
    write_text(f, footer);
    fprintf(f, "; top-1 of the %s images. Results of ", source_judged(s));
    write_text(f, *s->program ? s->program : "an unknown program");
    fprintf(f, ", report by %s.\n", r->options->program);
    write_status(f, s);
    fprintf(f, "The table of all runs is in report.html%s.\n",
            s->is_study ? ", their rows are in study.csv" : "");
    int count = r->options->no_figures ? 0 : figures_list(r, figures);
    for (int i = 0; i < count; i++)
        fprintf(f, "\n![%s](figures/%s.svg)\n", figures[i].title, figures[i].name);
    for (int i = 0; i < r->tables.count; i++)
        if (!r->tables.list[i].is_long && r->tables.list[i].rows)
            write_table(f, &r->tables.list[i]);
    fputs("\n## What the numbers are\n\n", f);
    for (int m = 0; m < MEASURES; m++)
        if (numbers_find(r->numbers, m, NULL, NULL, NULL, 0.0 / 0.0))
            fprintf(f, "- `%s`%s%s: %s.\n", measure_words[m].name,
                    *measure_words[m].unit ? ", " : "", measure_words[m].unit,
                    measure_words[m].words);
}
