/* Which setting of a study gets to a threshold first on a machine that has run none of them.
 *
 *   seconds = samples to the threshold / samples a second
 *
 * The samples are those that the study's runs of that setting took, seed by seed. They depend on
 * how the setting learns: its rate, the staleness of its gradients, the mini-batches of an update.
 * The samples a second are the machine's: the run is simulated there without gradients
 * (--sim-gradients=no), which costs next to nothing. Of several cases those runs count whose
 * staleness and mini-batches are nearest to what is simulated. How far off this is the study itself
 * says: each of its cases is left out in turn, and predicted from the others.
 *
 * Hardware and statistical efficiency as factors of the time: Hadjis, Zhang, Mitliagkas, Iter, Re
 * 2016, "Omnivore: An optimizer for multi-device deep learning on CPUs and GPUs". */
#ifndef ADVICE_ADVICE_H
#define ADVICE_ADVICE_H

#include <stdint.h>

#include "base/options.h"

struct advice_option { /* of the command line, for the machine's runs */
    const char *name, *value;
};

struct advice_request {
    const char *study;    /* its folder */
    const char *machine;  /* slowness/machine.h */
    const char *baseline; /* the setting that others are compared with; NULL: the first of ssgd */
    double target;        /* top-1 in percent; NAN: one of the study's */
    int64_t batches;      /* that each worker computes in a simulated run; 0: by the network */
    const char *rows;     /* a CSV of all numbers is written there; NULL: none */
    const struct advice_option *own;
    int own_count;
    const struct option_set *const *world_sets; /* what a case's world is made of; NULL ends them */
    const char *program;                        /* "nbsgd 0.2.0 (0123456789ab)" */
};

/* Prints the table, why, how far off, and the verdict. Fatal where the study or the machine has not
 * what is needed; ends with EXIT_WORLD where rows cannot be written. */
void advice_print(const struct advice_request *r);

#endif
