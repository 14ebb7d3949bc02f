#include "command/study_words.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/digest.h"
#include "command/cell_conditions.h"
#include "command/checks.h"
#include "data_loader/data_loader.h"
#include "messaging/messaging.h"
#include "problem/problem.h"

/* Whether two programs may differ that have one commit. */
static bool is_certain(const char *commit)
{
    return strcmp(commit, "unknown") && !strstr(commit, "dirty");
}

/* Of the program's own file. */
static void digest_program(char text[DIGEST_TEXT])
{
    char piece[1 << 14];
    struct digest *d = digest_open();
    FILE *f = fopen("/proc/self/exe", "rb");
    for (size_t got = 1; f && got;) {
        got = fread(piece, 1, sizeof piece, f);
        digest_add(d, piece, got);
    }
    if (f)
        fclose(f);
    digest_text(digest_value(d), text);
    digest_close(d);
}

/* study_program.configure */
static void configure(int argc, char **argv, struct option_files *files, const char *known,
                      FILE *to)
{
    struct options o;
    struct option_sets sets = option_sets();
    const struct option_texts texts = {.choices = option_choices, .files = files};
    options_parse(&o, sets.list, argc, argv, &texts);
    const struct scheme *scheme = scheme_find(o.scheme);
    const struct world *world = world_find(o.world);
    int processes = world->virtual_time     ? 0
                    : scheme->flags & ALONE ? 1
                                            : (int)(o.workers + o.servers);
    if (o.print_options || o.print_schemes || o.print_network || o.print_machine_key)
        fatal("--print-options, --print-schemes, --print-network and --print-machine-key train "
              "nothing; leave them out");
    option_sets_use(&o);
    check_values(&o);
    check_run(&o, scheme, processes ? processes : 1);
    fprintf(to, "processes %d\n", processes);
    const struct cell_data data = cell_data_of(&o, known);
    if (data.in_files && !data.was_known)
        fprintf(to, "data %s %s\n", data.digest, data.which);
    fprintf(to, "workers = %lld\n", (long long)o.workers);
    options_write(&o, to, "", " = ", OPTION_OWN | OPTION_OUTPUT);
    cell_conditions_write(&o, &data, processes, to);
    free(data.which);
    fputs("--\n", to);
    if (!processes && !options_named(&o, "threads"))
        o.threads = 1;
    options_write_only(&o, to, "", " = ", OPTION_OWN);
}

static void fill_program(struct study_program *p, char name[200], char identity[200],
                         const struct stop *stop)
{
    char text[DIGEST_TEXT] = "";
    if (!is_certain(version_commit()))
        digest_program(text);
    snprintf(name, 200, "nbsgd %s (%.100s%s%s)", version_number(), version_commit(),
             *text ? ", program " : "", text);
    snprintf(identity, 200, "%s %.100s %s", version_number(), version_commit(), text);
    *p = (struct study_program){
        .name = name, .identity = identity, .stop = &stop->signal, .configure = configure};
}

static int jobs_of(const char *text)
{
    char *end;
    long jobs = strtol(text, &end, 10);
    if (end == text || *end || jobs < 1 || jobs > 1000)
        fatal("study --jobs %s: a whole number from 1 to 1000 is expected", text);
    return (int)jobs;
}

/* Of `which` command; --targets is tune's alone. */
static struct study_request parse(const char *which, const char *usage, int argc, char **argv)
{
    static const struct option words[] = {{"results", 1, NULL, 'r'}, {"jobs", 1, NULL, 'j'},
                                          {"check", 0, NULL, 'c'},   {"help", 0, NULL, 'h'},
                                          {"targets", 0, NULL, 't'}, {0}};
    struct study_request r = {.results = ""};
    opterr = 0;
    for (int word; (word = getopt_long(argc, argv, ":", words, NULL)) != -1;) {
        if (word == 'r') {
            r.results = optarg;
        } else if (word == 'j') {
            r.jobs = jobs_of(optarg);
        } else if (word == 'c') {
            r.check = true;
        } else if (word == 't' && strstr(usage, "--targets")) {
            r.targets = true;
        } else if (word == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else {
            fatal("%s: %s '%s'; nbsgd %s --help shows how it is used", which,
                  word == ':' ? "a value is missing behind" : "there is no option",
                  argv[optind - 1], which);
        }
    }
    if (argc - optind != 1)
        fatal("%s: one file is expected, %d are there: nbsgd %s FILE.ini --results DIR", which,
              argc - optind, which);
    r.file = argv[optind];
    if (!*r.results && !r.check)
        fatal("%s: where to? nbsgd %s %s --results DIR", which, which, r.file);
    return r;
}

int study_command(const char *which, const char *usage,
                  int (*run)(const struct study_request *, const struct study_program *), int argc,
                  char **argv, struct stop *stop)
{
    struct study_program program;
    char name[200], identity[200];
    const struct study_request r = parse(which, usage, argc, argv);
    fill_program(&program, name, identity, stop);
    stop->saves = 1;
    return run(&r, &program);
}
