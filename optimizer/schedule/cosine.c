/* The rate falls along half a cosine to 0. */
#include "optimizer/schedule/kinds.h"

#include <math.h>

static double cosine(const struct schedule *s, double part, double done)
{
    (void)s, (void)done;
    return part < 1 ? 0.5 * (1 + cos(M_PI * part)) : 0;
}

const struct schedule_kind schedule_cosine = {
    .name = "cosine",
    .formula = "lr (1 + cos(pi part)) / 2",
    .paper = "Loshchilov, Hutter 2017",
    .factor = cosine,
};
