/* What a cell has found, and study.csv. Files are read with distrust: others may have written to a
 * cell's folder. */
#define _GNU_SOURCE
#include "study/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json_reader.h"

enum { MOST_BYTES = 1 << 24, FIELD = 200 };

static const char *const fields[] = {
    "scheme",
    "world",
    "network",
    "workers",
    "servers",
    "evaluated",
    "seconds",
    "samples",
    "updates",
    "top1",
    "top5",
    "best_top1",
    "test_top1",
    "test_top5",
    "loss",
    "images_per_s",
    "useful_share",
    "aborted_share",
    "dropped_share",
    "delay_share",
    "update_share",
    "transfer_share",
    "wait_share",
    "other_share",
    "staleness_mean",
    "minibatches_per_update",
    "minibatches_per_update_harmonic",
};

enum { FIELDS = sizeof fields / sizeof *fields };

/* --- summary.json --- */

static char *read_file(const char *path, size_t *bytes)
{
    FILE *f = file_open(path);
    size_t room = 65536;
    char *text = NULL;
    *bytes = 0;
    while (f && !feof(f) && !ferror(f) && *bytes < MOST_BYTES) {
        char *more = realloc(text, room + 1);
        if (!more)
            break;
        text = more;
        *bytes += fread(text + *bytes, 1, room - *bytes, f);
        room *= 2;
    }
    if (f)
        fclose(f);
    if (text)
        text[*bytes] = 0;
    return text;
}

/* An object of scalars, such as tta. */
static void skip_object(struct json *j)
{
    char text[FIELD];
    if (json_accept(j, '}'))
        return;
    do {
        json_string(j, text, sizeof text);
        json_expect(j, ':');
        json_scalar(j, text, sizeof text);
    } while (json_accept(j, ','));
    json_expect(j, '}');
}

void cell_field(const struct cell_result *r, const char *name, char *text, size_t size)
{
    char why[200], key[80], value[2000];
    *text = 0;
    if (!r->json)
        return;
    struct json j = {.begin = (const uint8_t *)r->json,
                     .at = (const uint8_t *)r->json,
                     .end = (const uint8_t *)r->json + r->bytes,
                     .why = why,
                     .why_size = sizeof why};
    if (!json_expect(&j, '{'))
        return;
    do {
        json_string(&j, key, sizeof key);
        json_expect(&j, ':');
        if (json_accept(&j, '{')) {
            skip_object(&j);
        } else if (json_scalar(&j, value, sizeof value) && !strcmp(key, name)) {
            snprintf(text, size, "%s", strcmp(value, "null") ? value : "");
            for (char *c = text; *c; c++)
                *c = strchr(",\"\n\r", *c) ? '_' : *c;
            return;
        }
    } while (!j.failed && json_accept(&j, ','));
}

/* --- eval.csv --- */

/* Splits at commas, in place. */
static int split(char *line, char *part[MOST_COLUMNS])
{
    int count = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *at = line; at && count < MOST_COLUMNS; count++) {
        part[count] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    return count;
}

static void read_evaluations(const char *path, struct cell_result *r)
{
    char *line = NULL, *part[MOST_COLUMNS];
    size_t room = 0;
    int at_s = -1, at_updates = -1, at_top1 = -1, columns = 0;
    FILE *f = file_open(path);
    while (f && getline(&line, &room, f) >= 0) {
        if (*line == '#')
            continue;
        int count = split(line, part);
        if (!columns) {
            columns = count;
            for (int i = 0; i < count; i++) {
                at_s = strcmp(part[i], "seconds") ? at_s : i;
                at_updates = strcmp(part[i], "updates") ? at_updates : i;
                at_top1 = strcmp(part[i], "top1") ? at_top1 : i;
            }
            continue;
        }
        struct evaluation e = {0};
        if (count != columns || at_s < 0 || at_updates < 0 || at_top1 < 0 ||
            !read_real(part[at_s], &e.seconds) || !read_real(part[at_top1], &e.top1))
            continue;
        e.updates = strtoll(part[at_updates], NULL, 10);
        r->list = grown(r->list, r->count, sizeof *r->list);
        r->list[r->count++] = e;
    }
    r->read = at_s >= 0 && at_updates >= 0 && at_top1 >= 0;
    free(line);
    if (f)
        fclose(f);
}

struct cell_result cell_summary(const struct plan *p, const struct cell *c)
{
    struct cell_result r = {0};
    char path[STUDY_PATH];
    cell_path(p, c, "summary.json", path);
    r.json = read_file(path, &r.bytes);
    return r;
}

struct cell_result cell_result(const struct plan *p, const struct cell *c)
{
    char path[STUDY_PATH];
    if (c->state != CELL_DONE && c->state != CELL_DIVERGED)
        return (struct cell_result){0};
    struct cell_result r = cell_summary(p, c);
    cell_path(p, c, "eval.csv", path);
    read_evaluations(path, &r);
    return r;
}

void cell_result_close(struct cell_result *r)
{
    free(r->json);
    free(r->list);
}

/* --- study.csv --- */

void row_text(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fprintf(f, ",%s", text);
        return;
    }
    fputs(",\"", f);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', f);
        putc(*text, f);
    }
    putc('"', f);
}

static void write_time(FILE *f, double seconds, bool known)
{
    if (!known)
        putc(',', f);
    else if (isnan(seconds))
        fputs(",inf", f);
    else
        fprintf(f, ",%.6f", seconds);
}

void row_names(FILE *f, const double *targets, int count)
{
    fputs(",status,exit", f);
    for (int i = 0; i < FIELDS; i++)
        fprintf(f, ",%s", fields[i]);
    for (int i = 0; i < count; i++)
        fprintf(f, ",tta_%g", targets[i]);
    for (int i = 0; i < count; i++)
        fprintf(f, ",first_%g", targets[i]);
    fputs(",folder\n", f);
}

void row_write(FILE *f, const struct cell_row *row)
{
    static const char *const states[] = {"missing", "done", "diverged", "failed"};
    const struct cell *c = row->cell;
    struct cell_result r = cell_result(row->plan, c);
    char text[FIELD];
    bool known = r.json && r.count;
    fprintf(f, ",%s,", states[c->state]);
    if (c->state != CELL_MISSING)
        fprintf(f, "%d", c->exit);
    for (int i = 0; i < FIELDS; i++) {
        cell_field(&r, fields[i], text, sizeof text);
        fprintf(f, ",%s", text);
    }
    for (int i = 0; i < row->target_count; i++)
        write_time(f, time_to_accuracy(r.list, r.count, row->targets[i]).confirmed_s, known);
    for (int i = 0; i < row->target_count; i++)
        write_time(f, time_to_accuracy(r.list, r.count, row->targets[i]).first_s, known);
    fprintf(f, ",%s\n", c->folder);
    cell_result_close(&r);
}

bool rows_of_study(FILE *f, void *self)
{
    const struct rows *rows = self;
    const struct experiment *e = rows->experiment;
    fprintf(f, "# program: %s\n# title: %s\n# targets:", rows->program->name, e->title);
    for (int i = 0; i < e->target_count; i++)
        fprintf(f, " %g", e->targets[i]);
    fputs("\ncase,setting,seed", f);
    row_names(f, e->targets, e->target_count);
    for (int i = 0; i < rows->plan->count; i++) {
        const struct cell *c = &rows->plan->cells[i];
        fprintf(f, "%s,%s,%lld", c->scene->name, c->setting->name, (long long)c->seed);
        row_write(f, &(struct cell_row){rows->plan, c, e->targets, e->target_count});
    }
    return true;
}
