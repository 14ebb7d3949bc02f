#include "metrics/run_folder.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/child.h"
#include "base/paths.h"

enum { PATH_SIZE = 4200 };
static const double longest_s = 60; /* that a figure takes */

/* Draws FOLDER/NAME.png with plots/SCRIPT. */
static void draw(const char *folder, const char *script, const char *name, const char *argument,
                 double limit_s)
{
    char program[PATH_SIZE], image[PATH_SIZE];
    if (!data_path(program, sizeof program, script))
        return;
    snprintf(image, sizeof image, "%s/%s.png", folder, name);
    char *const words[] = {"gnuplot", "-c", program, image, (char *)argument, NULL};
    switch (child_run(words, limit_s)) {
    case CHILD_WELL:
        printf("figure: %s\n", image);
        break;
    case CHILD_BADLY:
        printf("no figure: gnuplot is missing or failed; draw it with gnuplot -c %s %s %s\n",
               program, image, argument);
        break;
    case CHILD_KILLED:
        printf("no figure: gnuplot had not ended after %.0f s and was killed; draw it with gnuplot "
               "-c %s %s %s\n",
               limit_s, program, image, argument);
    }
}

void run_folder_draw(const char *folder, const char *scheme, double deadline_s)
{
    double limit_s = fmin(deadline_s, longest_s);
    char source[PATH_SIZE], partition[PATH_SIZE], trace[PATH_SIZE];
    snprintf(source, sizeof source, "%s=%s", scheme, folder);
    snprintf(partition, sizeof partition, "%s/partition.csv", folder);
    snprintf(trace, sizeof trace, "%s/trace.csv", folder);
    draw(folder, "plots/run.gp", "figure", source, limit_s);
    if (!access(partition, R_OK))
        draw(folder, "plots/partition.gp", "partition", folder, limit_s);
    if (!access(trace, R_OK))
        draw(folder, "plots/gantt.gp", "gantt", folder, limit_s);
}
