/* report.html: one file that opens anywhere, without a network. It is well-formed XML, too, so that
 * a strict parser can judge it. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "report/html_parts.h"
#include "report/report.h"
#include "report/tables.h"

static void write_table(FILE *f, const struct table *t, int number)
{
    fprintf(f, "<section id=\"table%d\"><h2>", number);
    html_text(f, t->title);
    fputs("</h2>\n<p>", f);
    html_text(f, t->words);
    fputs("</p>\n<div class=\"wide\"><table class=\"sortable\"><thead><tr>", f);
    for (int k = 0; k < t->columns; k++) {
        fputs("<th><button type=\"button\">", f);
        html_text(f, t->heads[k]);
        fputs("</button></th>", f);
    }
    fputs("</tr></thead><tbody>\n", f);
    for (int i = 0; i < t->rows; i++) {
        fputs("<tr>", f);
        for (int k = 0; k < t->columns; k++) {
            const struct cell *c = &t->cells[(int64_t)i * t->columns + k];
            if (isnan(c->value))
                fputs("<td>", f);
            else
                fprintf(f, "<td class=\"n\" data-v=\"%.9g\">",
                        isinf(c->value) ? copysign(1e300, c->value) : c->value);
            html_text(f, c->text);
            fputs("</td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div></section>\n", f);
}

static void write_figure(FILE *f, const struct report *r, const struct figure *figure, int number)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/figures/%s.svg", r->options->folder, figure->name);
    char *svg = access(path, R_OK) ? NULL : text_read(path, why, sizeof why);
    fprintf(f, "<section id=\"figure%d\"><h2>", number);
    html_text(f, figure->title);
    fputs("</h2>\n", f);
    if (svg) {
        html_svg(f, svg, number);
    } else {
        fputs("<p>Not drawn; its rows are in <code>figures/", f);
        html_text(f, figure->name);
        fprintf(f, ".csv</code>: <code>gnuplot -c plots/%s.gp OUT.svg ROWS</code></p>\n",
                figure->script);
    }
    fputs("</section>\n", f);
    xfree(svg);
}

/* --- configurations, commands --- */

static void write_file(FILE *f, const char *path, const char *title)
{
    char why[REPORT_PATH + 100];
    char *text = access(path, R_OK) ? NULL : text_read(path, why, sizeof why);
    if (!text)
        return;
    fputs("<details><summary>", f);
    html_text(f, title);
    fputs("</summary><pre>", f);
    html_text(f, text);
    fputs("</pre></details>\n", f);
    xfree(text);
}

/* Seeds of one case and setting differ in the seed alone. */
static bool is_first(const struct source *s, int run)
{
    for (int i = 0; i < run; i++)
        if (s->runs[i].case_at == s->runs[run].case_at &&
            s->runs[i].setting_at == s->runs[run].setting_at && *s->runs[i].head)
            return false;
    return *s->runs[run].head;
}

static void write_configurations(FILE *f, const struct source *s)
{
    char path[REPORT_PATH], title[REPORT_WORDS];
    fputs("<section id=\"configurations\"><h2>Configurations</h2>\n<p>All options of the runs, "
          "as <code>nbsgd --config</code> reads them; of a case and a setting those of its first "
          "seed.</p>\n",
          f);
    snprintf(path, sizeof path, "%s/study.ini", s->folder);
    write_file(f, path, "study.ini");
    for (int i = 0; i < s->count; i++) {
        const struct run *r = &s->runs[i];
        if (!is_first(s, i))
            continue;
        snprintf(path, sizeof path, "%s/config.ini", r->folder);
        snprintf(title, sizeof title, "%s, %s, seed %lld", s->cases.name[r->case_at],
                 s->settings.name[r->setting_at], (long long)r->seed);
        write_file(f, path, title);
    }
    fputs("</section>\n", f);
}

static void write_words(FILE *f, const struct report *r)
{
    fputs("<section id=\"words\"><h2>What the numbers are</h2>\n<dl>\n", f);
    for (int m = 0; m < MEASURES; m++) {
        if (!numbers_find(r->numbers, m, NULL, NULL, NULL, NAN))
            continue;
        fprintf(f, "<dt><code>%s</code>%s", measure_words[m].name,
                *measure_words[m].unit ? ", " : "");
        html_text(f, measure_words[m].unit);
        fputs("</dt><dd>", f);
        html_text(f, measure_words[m].words);
        fputs("</dd>\n", f);
    }
    fputs("</dl></section>\n", f);
}

static void write_contents(FILE *f, const struct report *r, const struct figure *figures, int count)
{
    fputs("<nav><ul>\n", f);
    for (int i = 0; i < count; i++) {
        fprintf(f, "<li><a href=\"#figure%d\">", i);
        html_text(f, figures[i].title);
        fputs("</a></li>\n", f);
    }
    for (int i = 0; i < r->tables.count; i++) {
        if (!r->tables.list[i].rows)
            continue;
        fprintf(f, "<li><a href=\"#table%d\">", i);
        html_text(f, r->tables.list[i].title);
        fputs("</a></li>\n", f);
    }
    fputs("<li><a href=\"#configurations\">configurations</a></li>\n"
          "<li><a href=\"#commands\">commands</a></li>\n"
          "<li><a href=\"#words\">what the numbers are</a></li></ul></nav>\n",
          f);
}

static void write_top(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    char footer[REPORT_WORDS * 4];
    source_footer(s, -1, footer, sizeof footer);
    html_begin(f, s->title);
    fputs("<header><h1>", f);
    html_text(f, s->title);
    fputs("</h1>\n<p>", f);
    html_text(f, footer);
    fprintf(f, "; top-1 of the %s images.</p>\n<p>Results of ", source_judged(s));
    html_text(f, *s->program ? s->program : "an unknown program");
    fputs("; report by ", f);
    html_text(f, r->options->program);
    fputs(".</p>\n<p>", f);
    write_status(f, s);
    fputs("</p></header>\n", f);
}

void write_html(FILE *f, const struct report *r)
{
    struct figure figures[MOST_FIGURES];
    int count = r->options->no_figures ? 0 : figures_list(r, figures);
    write_top(f, r);
    write_contents(f, r, figures, count);
    fputs("<main>\n", f);
    for (int i = 0; i < count; i++)
        write_figure(f, r, &figures[i], i);
    for (int i = 0; i < r->tables.count; i++)
        if (r->tables.list[i].rows)
            write_table(f, &r->tables.list[i], i);
    write_configurations(f, r->source);
    html_commands(f, r->source);
    write_words(f, r);
    fputs("</main>\n", f);
    html_end(f);
}
