/* `nbsgd advise MACHINE.ini --study DIR` */
#include "advice/advice.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "command/command.h"
#include "messaging/messaging.h"
#include "slowness/slowness.h"

static const char usage[] =
    "Usage: nbsgd advise MACHINE.ini --study DIR [OPTION ...]\n"
    "Says which setting of a study would get to a threshold first on a machine, why, and how far\n"
    "off that may be (docs/advise.md). MACHINE.ini: what `test.s` measures, or what you assume\n"
    "(slowness/machine.h); it needs the times of the study's mini-batches.\n\n"
    "  --study DIR      the folder of `nbsgd study`\n"
    "  --target T       top-1 in percent (default: the study's greatest that ssgd gets to)\n"
    "  --baseline NAME  the setting that others are compared with (default: the first of ssgd)\n"
    "  --batches N      that each worker computes in a simulated run (default: up to 400)\n"
    "  --rows FILE      write all numbers there, as a CSV\n\n"
    "What is otherwise there than in the study, as a run takes it: --slow --delay --delay-key\n"
    "--delay-block --link-delay --link-burst --workers --threads --dtype --network\n";

enum { OWN_FIRST = 1000, OWN = 10 };
static const struct option words[] = {{"study", 1, NULL, 's'},
                                      {"target", 1, NULL, 't'},
                                      {"baseline", 1, NULL, 'b'},
                                      {"batches", 1, NULL, 'n'},
                                      {"rows", 1, NULL, 'r'},
                                      {"help", 0, NULL, 'h'},
                                      {"slow", 1, NULL, OWN_FIRST},
                                      {"delay", 1, NULL, OWN_FIRST + 1},
                                      {"delay-key", 1, NULL, OWN_FIRST + 2},
                                      {"delay-block", 1, NULL, OWN_FIRST + 3},
                                      {"link-delay", 1, NULL, OWN_FIRST + 4},
                                      {"link-burst", 1, NULL, OWN_FIRST + 5},
                                      {"workers", 1, NULL, OWN_FIRST + 6},
                                      {"threads", 1, NULL, OWN_FIRST + 7},
                                      {"dtype", 1, NULL, OWN_FIRST + 8},
                                      {"network", 1, NULL, OWN_FIRST + 9},
                                      {0}};

static double number_of(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        fatal("advise --%s %s: a number from %g to %g is expected", name, text, least, most);
    return value;
}

/* An option of a run; the last of a name counts. */
static void take_own(struct advice_request *r, struct advice_option own[OWN], int word)
{
    const char *name = NULL;
    for (int i = 0; words[i].name; i++)
        if (words[i].val == word)
            name = words[i].name;
    for (int i = 0; i < r->own_count; i++)
        if (own[i].name == name) {
            own[i].value = optarg;
            return;
        }
    own[r->own_count++] = (struct advice_option){name, optarg};
}

static void parse(struct advice_request *r, struct advice_option own[OWN], int argc, char **argv)
{
    opterr = 0;
    for (int word; (word = getopt_long(argc, argv, ":", words, NULL)) != -1;) {
        if (word == 's')
            r->study = optarg;
        else if (word == 't')
            r->target = number_of("target", optarg, 1e-9, 100);
        else if (word == 'b')
            r->baseline = optarg;
        else if (word == 'n')
            r->batches = (int64_t)number_of("batches", optarg, 1, 1e6);
        else if (word == 'r')
            r->rows = optarg;
        else if (word >= OWN_FIRST)
            take_own(r, own, word);
        else if (word == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else
            fatal("advise: %s '%s'; nbsgd advise --help shows how it is used",
                  word == ':' ? "a value is missing behind" : "there is no option",
                  argv[optind - 1]);
    }
    if (argc - optind != 1 || !r->study)
        fatal("advise: a machine file and a study are expected: nbsgd advise MACHINE.ini --study "
              "DIR");
    r->machine = argv[optind];
}

static int run(int argc, char **argv, struct stop *stop)
{
    const struct option_set *world_sets[] = {&slow_option_set, world_sim.options, NULL};
    struct advice_option own[OWN];
    char program[200];
    struct advice_request r = {
        .target = NAN, .own = own, .world_sets = world_sets, .program = program};
    (void)stop;
    parse(&r, own, argc, argv);
    machine_close(machine_load(r.machine));
    snprintf(program, sizeof program, "nbsgd %s (%s)", version_number(), version_commit());
    advice_print(&r);
    return 0;
}

const struct command command_advise = {
    .name = "advise",
    .summary = "who is first on a machine: advise MACHINE.ini --study DIR",
    .run = run,
};
