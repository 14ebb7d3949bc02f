/* gnuplot is started without a shell: no shell sees a path. */
#include "metrics/run_folder.h"

#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/paths.h"

extern char **environ;

enum { PATH_SIZE = 4200 };

void run_folder_choose(char *path, size_t size, const char *wanted, const char *scheme)
{
    char date[64];
    time_t now = time(NULL);
    if (*wanted) {
        snprintf(path, size, "%s", wanted);
        return;
    }
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime(&now));
    snprintf(path, size, "results/run-%s-%s", date, scheme);
    for (int i = 2; !access(path, F_OK); i++)
        snprintf(path, size, "results/run-%s-%s-%d", date, scheme, i);
}

/* Draws FOLDER/NAME.png with plots/SCRIPT. */
static void draw(const char *folder, const char *script, const char *name, const char *argument)
{
    char program[PATH_SIZE], image[PATH_SIZE];
    int status = 0;
    pid_t child;
    if (!data_path(program, sizeof program, script))
        return;
    snprintf(image, sizeof image, "%s/%s.png", folder, name);
    char *const words[] = {"gnuplot", "-c", program, image, (char *)argument, NULL};
    if (posix_spawnp(&child, "gnuplot", NULL, NULL, words, environ) ||
        waitpid(child, &status, 0) < 0 || status)
        printf("no figure: gnuplot is missing or failed; draw it with gnuplot -c %s %s %s\n",
               program, image, argument);
    else
        printf("figure: %s\n", image);
}

void run_folder_draw(const char *folder, const char *scheme)
{
    char source[PATH_SIZE], partition[PATH_SIZE];
    snprintf(source, sizeof source, "%s=%s", scheme, folder);
    snprintf(partition, sizeof partition, "%s/partition.csv", folder);
    draw(folder, "plots/run.gp", "figure", source);
    if (!access(partition, R_OK))
        draw(folder, "plots/partition.gp", "partition", folder);
}
