/* Data sets in the form of MNIST: images and labels in two IDX files a half, plain or packed by
 * gzip. Private to data_loader/.
 *
 * An IDX file (LeCun, Cortes, Burges: The MNIST database): two bytes 0, a byte 8 (unsigned bytes),
 * a byte with the number of dimensions, each dimension as 32 bits, the highest byte first, and the
 * bytes, the last dimension's together. */
#ifndef DATA_LOADER_IDX_H
#define DATA_LOADER_IDX_H

#include "data_loader/kinds.h"

enum { IDX_SIDE = 28, IDX_CLASSES = 10 };

/* One of the data sets of this form. */
struct idx_set {
    const char *title, *name;   /* as people write it; as --dataset does */
    const char *const *folders; /* names of folders that it may lie in; ends with NULL */
    const char *word;           /* in its folder's name, where others of the form haven't it; or
                                   NULL */
    /* CRC-32 of what the published files hold, of the test half and the training half */
    uint32_t images_crc[2], labels_crc[2];
};

enum fit idx_recognises(const struct idx_set *s, const char *folder, char place[FOLDER_PATH]);

/* For open(): checks both files of the half wholly, whatever the limit: magic number, dimensions,
 * lengths, as many labels as images, each label, and that no class is missing. Other images than
 * the published ones are taken, and the source says so. */
void idx_open(const struct idx_set *s, struct dataset *d, const struct dataset_options *options);

#endif
