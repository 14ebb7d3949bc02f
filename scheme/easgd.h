/* What easgd and eamsgd share: the options of the elastic force, the worker's and the server's
 * side. */
#ifndef SCHEME_EASGD_H
#define SCHEME_EASGD_H

#include "scheme/scheme.h"

struct easgd_options {
    int64_t local_steps; /* mini-batches */
    double easgd_beta;   /* workers x alpha */
};

extern const struct option_set easgd_option_set;

void easgd_work(struct node *n);
void eamsgd_work(struct node *n);
void easgd_serve(struct node *n);

#endif
