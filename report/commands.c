/* The command that runs each run again. Its options may name files from the folder in which it was
 * started, so it is run there; all paths begin at the page's own folder, wherever that was moved
 * with what is around it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/paths.h"
#include "report/html_parts.h"

/* As one word of the shell. */
static void write_word(FILE *f, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._-/+=,@%";
    bool quotes = text[strspn(text, plain)];
    char *word = xcalloc(4 * strlen(text) + 3, 1), *to = word;
    if (quotes)
        *to++ = '\'';
    for (; *text; text++)
        if (*text == '\'')
            to = stpcpy(to, "'\\''");
        else
            *to++ = *text;
    if (quotes)
        *to++ = '\'';
    html_text(f, word);
    xfree(word);
}

/* Of a cell options.ini, of a run config.ini. False: it has neither. */
static bool find_options(const struct run *r, char path[REPORT_PATH])
{
    snprintf(path, REPORT_PATH, "%s/options.ini", r->folder);
    if (access(path, R_OK))
        snprintf(path, REPORT_PATH, "%s/config.ini", r->folder);
    return !access(path, R_OK);
}

static void write_command(FILE *f, const struct source *s, const struct run *r)
{
    char options[REPORT_PATH], started[REPORT_PATH], place[2 * REPORT_PATH], to[REPORT_PATH],
        config[REPORT_PATH];
    if (!find_options(r, options))
        return;
    head_value(r->head, "started in", started, sizeof started);
    snprintf(place, sizeof place, "%s/%s", r->folder, started);
    bool known = *started && path_between(to, sizeof to, s->folder, place);
    if (!path_between(config, sizeof config, known ? place : s->folder, options))
        return;
    fputs(known ? "(cd " : "# started elsewhere: ", f);
    if (known)
        write_word(f, to);
    html_text(f, known ? " && nbsgd --config " : "nbsgd --config ");
    write_word(f, config);
    fputs(known ? ")\n" : "\n", f);
}

void html_commands(FILE *f, const struct source *s)
{
    fputs("<section id=\"commands\"><h2>Commands</h2>\n<p>Each run again, from this page's folder. "
          "Each begins in the folder where its run was started, since its options may name files "
          "from there. Those over MPI want their launcher before <code>nbsgd</code>.</p>\n<pre>",
          f);
    for (int i = 0; i < s->count; i++)
        write_command(f, s, &s->runs[i]);
    fputs("</pre></section>\n", f);
}
