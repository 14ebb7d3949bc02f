/* The folder of a run: its name, and the figures drawn from its rows. */
#ifndef METRICS_RUN_FOLDER_H
#define METRICS_RUN_FOLDER_H

#include <stddef.h>

/* `wanted`, or when that is empty results/run-DATE-SCHEME; a number is appended when another run
 * began in the same second. */
void run_folder_choose(char *path, size_t size, const char *wanted, const char *scheme);

/* Draws FOLDER/figure.png, and partition.png where the folder has a partition.csv. Without gnuplot
 * one line says how to draw them; without plots/ nothing is done. */
void run_folder_draw(const char *folder, const char *scheme);

#endif
