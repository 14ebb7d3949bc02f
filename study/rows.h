/* Rows of a study, for study_write(). */
#ifndef STUDY_ROWS_H
#define STUDY_ROWS_H

#include "study/private.h"

struct rows {
    const struct experiment *experiment;
    const struct plan *plan;
    const struct study_program *program;
};

bool rows_of_study(FILE *f, void *rows);

#endif
