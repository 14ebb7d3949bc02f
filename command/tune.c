/* `nbsgd tune FILE.ini --results DIR` */
#include "command/study_words.h"

static const char usage[] =
    "Usage: nbsgd tune FILE.ini --results DIR [OPTION ...]\n"
    "Runs as many trials of each setting in each case, in the search space of the file's [tune]\n"
    "(docs/study.md), judged by held-out training images. All are in DIR/trials.csv, the best in\n"
    "DIR/tuned.ini. What is missing is run alone: started again it goes on.\n\n"
    "  --targets      before: tune the reference, repeat it, and write DIR/targets.ini\n"
    "  --results DIR  the study's folder: a new one, or its own\n"
    "  --jobs N       simulated runs at once (default: as many as there are cores)\n"
    "  --check        judge the file and all its options, and run nothing\n";

static int run(int argc, char **argv, struct stop *stop)
{
    return study_command("tune", usage, study_tune, argc, argv, stop);
}

const struct command command_tune = {
    .name = "tune",
    .summary = "rates and other options of a study, by trials: tune FILE.ini --results DIR",
    .run = run,
};
