/* `nbsgd report DIR`: a run's or a study's folder into tables, figures, one page. */
#include "report/report.h"

#include <getopt.h>
#include <stdio.h>

#include "base/check.h"
#include "command/command.h"

static const char usage[] =
    "Usage: nbsgd report [OPTION ...] DIR\n"
    "Reports what a run (its folder of results) or a study (`nbsgd study`) has shown: "
    "DIR/report.md "
    "and\n"
    ".html to read, .csv and .json with every number, figures in DIR/figures (docs/report.md).\n\n"
    "  --baseline NAME  the setting that the others are compared with (one of ssgd, else the "
    "first)\n"
    "  --no-figures     tables alone\n";

static const double longest_s = 60; /* that a figure takes */

static int run(int argc, char **argv, struct stop *stop)
{
    static const struct option words[] = {
        {"baseline", 1, NULL, 'b'}, {"no-figures", 0, NULL, 'n'}, {"help", 0, NULL, 'h'}, {0}};
    char program[200];
    struct report_options o = {.program = program, .longest_s = longest_s};
    (void)stop;
    opterr = 0;
    for (int word; (word = getopt_long(argc, argv, ":", words, NULL)) != -1;) {
        if (word == 'b')
            o.baseline = optarg;
        else if (word == 'n')
            o.no_figures = true;
        else if (word == 'h')
            return fputs(usage, stdout) < 0;
        else
            fatal("report: %s '%s'; nbsgd report --help shows how it is used",
                  word == ':' ? "a value is missing behind" : "there is no option",
                  argv[optind - 1]);
    }
    if (argc - optind != 1)
        fatal("report: one folder is expected, %d are there: nbsgd report DIR", argc - optind);
    o.folder = argv[optind];
    snprintf(program, sizeof program, "nbsgd %s (%s)", version_number(), version_commit());
    report_write(&o);
    return 0;
}

const struct command command_report = {
    .name = "report",
    .summary = "tables, figures and one page of a run or a study: report DIR",
    .run = run,
};
