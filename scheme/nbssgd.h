/* What the paper of nbssgd leaves open, as options. */
#ifndef SCHEME_NBSSGD_H
#define SCHEME_NBSSGD_H

#include "scheme/scheme.h"

struct nbssgd_options {
    const char *nb_payload, *nb_inflight, *nb_batch, *nb_server, *nb_signal, *nb_weigh;
};

extern const struct option_set nbssgd_option_set;

void nbssgd_work(struct node *n);
void nbssgd_serve(struct node *n);

#endif
