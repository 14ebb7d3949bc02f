/* The kinds of data sets: a file beside this header, a line here, a line in the table of
 * data_loader/data_loader.c. */
#ifndef DATA_LOADER_KINDS_H
#define DATA_LOADER_KINDS_H

#include "data_loader/data_loader.h"

extern const struct dataset_kind dataset_cifar10;   /* cifar.c */
extern const struct dataset_kind dataset_synthetic; /* synthetic.c */

#endif
