/* The figures of a run, drawn from its rows. */
#ifndef METRICS_RUN_FOLDER_H
#define METRICS_RUN_FOLDER_H

/* Draws FOLDER/figure.png; partition.png and gantt.png where the folder has their rows. Without
 * gnuplot, or when it does not end within the deadline (at most a minute), one line says how to
 * draw them; without plots/ nothing is done. */
void run_folder_draw(const char *folder, const char *scheme, double deadline_s);

#endif
