/* `nbsgd folds FILE.ini --results DIR` */
#include "command/study_words.h"

static const char usage[] =
    "Usage: nbsgd folds FILE.ini --results DIR [OPTION ...]\n"
    "K-fold cross-validation of the grid in the file's [folds] (docs/study.md): each point of it "
    "is\n"
    "trained K times, each time judged by another K-th of the training images. Runs are in\n"
    "DIR/folds.csv, means in DIR/folds-means.csv. Started again it runs what is missing.\n\n"
    "  --results DIR  the study's folder: a new one, or its own\n"
    "  --jobs N       simulated runs at once (default: as many as there are cores)\n"
    "  --check        judge the file and all its options, and run nothing\n";

static int run(int argc, char **argv, struct stop *stop)
{
    return study_command("folds", usage, study_folds, argc, argv, stop);
}

const struct command command_folds = {
    .name = "folds",
    .summary = "K-fold cross-validation of any options: folds FILE.ini --results DIR",
    .run = run,
};
