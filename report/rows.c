/* report.csv and report.json: all numbers. */
#include <math.h>
#include <string.h>

#include "base/json_writer.h"
#include "report/report.h"
#include "report/tables.h"

static void write_head(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    char footer[REPORT_WORDS * 4];
    source_footer(s, -1, footer, sizeof footer);
    fprintf(f, "# program: %s\n# results of: %s\n# title: %s\n# ran on: %s\n# evaluated: %s\n",
            r->options->program, s->program, s->title, footer, s->judged);
    if (s->is_study)
        fprintf(f, "# baseline: %s\n", s->settings.name[r->baseline]);
}

static void write_real(FILE *f, double value)
{
    fprintf(f, isnan(value) ? "," : ",%.9g", value);
}

static void write_count(FILE *f, int count)
{
    fprintf(f, count < 0 ? "," : ",%d", count);
}

void write_csv(FILE *f, const struct report *r)
{
    write_head(f, r);
    fputs("measure,unit,case,setting,other,item,target,at,value,low,high,coverage,count,of,sign_p,"
          "cut_short\n",
          f);
    for (int i = 0; i < r->numbers->count; i++) {
        const struct number *n = &r->numbers->list[i];
        const struct measure_words *words = &measure_words[n->measure];
        fprintf(f, "%s,%s,%s,%s,%s", words->name, words->unit, n->case_name, n->setting, n->other);
        write_count(f, n->item);
        write_real(f, n->target);
        write_real(f, n->at);
        write_real(f, n->value);
        write_real(f, n->interval.low);
        write_real(f, n->interval.high);
        write_real(f, isnan(n->interval.low) ? NAN : n->interval.coverage);
        write_count(f, n->count);
        write_count(f, n->of);
        write_real(f, n->sign_p);
        fprintf(f, ",%d\n", n->cut_short);
    }
}

/* JSON has no infinity: it is the text "inf", which float() of Python takes as well. */
static struct json_field real(const char *name, double value)
{
    struct json_field text = JSON_TEXT(name, value > 0 ? "inf" : "-inf"),
                      number = JSON_REAL(name, value);
    return isinf(value) ? text : number;
}

static void write_number(FILE *f, const struct number *n)
{
    struct json_field fields[17] = {JSON_TEXT("measure", measure_words[n->measure].name)};
    int count = 1;
    const struct {
        const char *name, *text;
    } texts[] = {{"case", n->case_name}, {"setting", n->setting}, {"other", n->other}};
    const struct {
        const char *name;
        double value;
    } reals[] = {{"target", n->target},
                 {"at", n->at},
                 {"value", n->value},
                 {"low", n->interval.low},
                 {"high", n->interval.high},
                 {"sign_p", n->sign_p},
                 {"coverage", isnan(n->interval.low) ? NAN : n->interval.coverage}};
    const struct {
        const char *name;
        int value;
    } counts[] = {{"item", n->item}, {"count", n->count}, {"of", n->of}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i].text)
            fields[count++] = (struct json_field)JSON_TEXT(texts[i].name, texts[i].text);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (!isnan(reals[i].value) || !strcmp(reals[i].name, "value"))
            fields[count++] = real(reals[i].name, reals[i].value);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value >= 0)
            fields[count++] = (struct json_field)JSON_INT(counts[i].name, counts[i].value);
    if (n->cut_short)
        fields[count++] = (struct json_field)JSON_INT("cut_short", n->cut_short);
    fields[count].type = JSON_END;
    json_write(f, fields, NULL, false);
}

static void write_run(FILE *f, const struct source *s, const struct run *run)
{
    json_write(
        f,
        JSON_FIELDS(JSON_TEXT("case", s->cases.name[run->case_at]),
                    JSON_TEXT("setting", s->settings.name[run->setting_at]),
                    JSON_INT("seed", run->seed), JSON_TEXT("status", run->status),
                    JSON_TEXT("folder", s->is_study ? run->folder + strlen(s->folder) + 1 : ".")),
        NULL, false);
}

void write_json(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    char footer[REPORT_WORDS * 4];
    source_footer(s, -1, footer, sizeof footer);
    fputs("{\"report\": ", f);
    json_write(
        f,
        JSON_FIELDS(JSON_TEXT("of", s->is_study ? "study" : "run"), JSON_TEXT("title", s->title),
                    JSON_TEXT("program", r->options->program), JSON_TEXT("results_of", s->program),
                    JSON_TEXT("ran_on", footer), JSON_TEXT("evaluated", s->judged),
                    JSON_TEXT("baseline", s->is_study ? s->settings.name[r->baseline] : NULL)),
        NULL, false);
    fputs(", \"measures\": [\n", f);
    for (int m = 0; m < MEASURES; m++) {
        fputs(m ? "," : "", f);
        json_write(f,
                   JSON_FIELDS(JSON_TEXT("measure", measure_words[m].name),
                               JSON_TEXT("unit", measure_words[m].unit),
                               JSON_TEXT("words", measure_words[m].words)),
                   NULL, false);
    }
    fputs("], \"runs\": [\n", f);
    for (int i = 0; i < s->count; i++) {
        fputs(i ? "," : "", f);
        write_run(f, s, &s->runs[i]);
    }
    fputs("], \"numbers\": [\n", f);
    for (int i = 0; i < r->numbers->count; i++) {
        fputs(i ? "," : "", f);
        write_number(f, &r->numbers->list[i]);
    }
    fputs("]}\n", f);
}
