/* `nbsgd study FILE.ini --results DIR` */
#include "command/study_words.h"

static const char usage[] =
    "Usage: nbsgd study FILE.ini --results DIR [OPTION ...]\n"
    "Runs each setting in each case with each seed, as the file describes (docs/study.md), and "
    "what\n"
    "is missing alone: started again it goes on. Rows are in DIR/study.csv.\n\n"
    "  --results DIR  the study's folder: a new one, or its own\n"
    "  --jobs N       simulated runs at once (default: as many as there are cores)\n"
    "  --check        judge the file and all its options, and run nothing\n";

static int run(int argc, char **argv, struct stop *stop)
{
    return study_command("study", usage, study_run, argc, argv, stop);
}

const struct command command_study = {
    .name = "study",
    .summary = "a comparison of many runs: study FILE.ini --results DIR",
    .run = run,
};
