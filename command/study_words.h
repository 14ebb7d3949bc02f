/* What the commands of study/ share: their words, and what a study asks of the program. */
#ifndef COMMAND_STUDY_WORDS_H
#define COMMAND_STUDY_WORDS_H

#include "command/command.h"
#include "study/study.h"

/* Parses FILE.ini, --results, --jobs, --check, and --targets where the usage has it; then runs. */
int study_command(const char *which, const char *usage,
                  int (*run)(const struct study_request *, const struct study_program *), int argc,
                  char **argv, struct stop *stop);

#endif
