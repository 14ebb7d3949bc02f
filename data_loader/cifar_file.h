/* The binary files of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): records
 * of one or two label bytes and 3 x 32 x 32 pixel bytes. Private to data_loader/. */
#ifndef DATA_LOADER_CIFAR_FILE_H
#define DATA_LOADER_CIFAR_FILE_H

#include "data_loader/kinds.h"

enum { CIFAR_SIDE = 32, CIFAR_IMAGE = 3 * CIFAR_SIDE * CIFAR_SIDE, CIFAR_LABELS = 2 };

/* One of the two data sets. */
struct cifar {
    const char *title, *name;   /* as people write it; as --dataset does */
    const char *const *folders; /* names of folders that it may lie in; ends with NULL */
    const char *const *files;   /* those of training, then the test file; ends with NULL */
    int training_files;
    int records[2];            /* of the test file; of each training file */
    int labels;                /* bytes at the head of a record */
    int classes[CIFAR_LABELS]; /* of each of them */
};

enum fit cifar_recognises(const struct cifar *c, const char *folder, char place[FOLDER_PATH]);

/* For open(): reads images, and the label byte `label` of each record. All files of the wanted half
 * are read whole whatever the limit, so that a bad one is found before training: its length, each
 * label byte, and that no class is missing (a file of zeros has the right length). Cost: 154 MB to
 * read, and 3,073 bytes of memory a sample. */
void cifar_open(const struct cifar *c, int label, struct dataset *d,
                const struct dataset_options *options);

#endif
