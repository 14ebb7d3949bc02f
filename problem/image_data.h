/* The images of a run: which train, which judge. */
#ifndef PROBLEM_IMAGE_DATA_H
#define PROBLEM_IMAGE_DATA_H

#include "data_loader/data_loader.h"
#include "problem/problem.h"

struct image_data {
    struct dataset *training;
    struct dataset *held_out; /* NULL: none */
    struct dataset *judged;   /* by evaluations: those held out, or the test images */
    struct dataset *test;     /* judged once, at the end: NULL where evaluations judge them, where
                                 there are none, or this process does not judge alone */
};

/* Fills in what *p says of its data, too. `serves`: this process judges what is judged once. */
void image_data_open(struct image_data *d, struct problem *p, const struct options *o, int threads,
                     bool serves);
/* So many of these an evaluation judges. */
int64_t image_data_judged(const struct dataset *d, const struct options *o);
void image_data_close(struct image_data *d);

#endif
