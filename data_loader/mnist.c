/* MNIST: 60,000 and 10,000 images of 28 x 28, a digit each (LeCun et al. 1998). Digits are not
 * mirrored. */
#include "data_loader/idx.h"

static const char *const folders[] = {"mnist", "MNIST/raw", "MNIST", NULL};

static const struct idx_set mnist = {
    .title = "MNIST",
    .name = "mnist",
    .folders = folders,
    .images_crc = {0x91373bdf, 0xe9f4d8b3},
    .labels_crc = {0x4ab9eff9, 0xe0cb4ad2},
};

static const char other[] =
    "MNIST in a form of other programs; the IDX files are needed (data_loader/fetch mnist FOLDER)";

static const struct hint hints[] = {
    {"mnist.npz", other},
    {"mnist.pkl.gz", other},
    {"mnist.part", "a download that broke off: data_loader/fetch mnist FOLDER goes on with it"},
    {"train-images.idx3-ubyte",
     "MNIST by another name: call it train-images-idx3-ubyte, and so on"},
    {0}};

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    return idx_recognises(&mnist, folder, place);
}

static void open(struct dataset *d, const struct dataset_options *options)
{
    idx_open(&mnist, d, options);
}

const struct dataset_kind dataset_mnist = {
    .name = "mnist",
    .summary = "MNIST's digits, IDX files, plain or .gz, from --data",
    .source = "LeCun et al. 1998",
    .files = "mnist",
    .fetch = "data_loader/fetch mnist data",
    .recognises = recognises,
    .hints = hints,
    .preset = {.classes = IDX_CLASSES,
               .channels = 1,
               .height = IDX_SIDE,
               .width = IDX_SIDE,
               .mean = {0.1307f},
               .deviation = {0.3081f},
               .augmentation = {.border = 2}},
    .open = open,
};
