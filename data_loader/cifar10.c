/* CIFAR-10 in its binary form (Krizhevsky 2009): five training files and one test file, each 10,000
 * records of one label byte and an image. */
#include "data_loader/cifar_file.h"

static const char *const folders[] = {"cifar-10-batches-bin", NULL};
static const char *const files[] = {"data_batch_1.bin",
                                    "data_batch_2.bin",
                                    "data_batch_3.bin",
                                    "data_batch_4.bin",
                                    "data_batch_5.bin",
                                    "test_batch.bin",
                                    NULL};

static const struct cifar cifar10 = {
    .title = "CIFAR-10",
    .name = "cifar10",
    .folders = folders,
    .files = files,
    .training_files = 5,
    .records = {10000, 10000},
    .labels = 1,
    .classes = {10},
};

static const char *const class_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                          "dog",      "frog",       "horse", "ship", "truck"};

static const char python[] = "the version for Python of CIFAR-10; the binary version is needed "
                             "(data_loader/fetch cifar10 FOLDER)";
static const char matlab[] = "the version for Matlab of CIFAR-10; the binary version is needed "
                             "(data_loader/fetch cifar10 FOLDER)";

static const struct hint hints[] = {
    {"cifar-10-binary.tar.gz", "the archive, not unpacked: tar -xzf cifar-10-binary.tar.gz"},
    {"cifar-10-batches-bin.part",
     "a download that broke off: data_loader/fetch cifar10 FOLDER goes on with it"},
    {"cifar-10-python.tar.gz", python},
    {"cifar-10-batches-py", python},
    {"data_batch_1", python},
    {"cifar-10-matlab.tar.gz", matlab},
    {"cifar-10-batches-mat", matlab},
    {"data_batch_1.mat", matlab},
    {0}};

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    return cifar_recognises(&cifar10, folder, place);
}

static void open(struct dataset *d, const struct dataset_options *options)
{
    cifar_open(&cifar10, 0, d, options);
}

/* The augmentation is that of He et al. 2015, arXiv:1512.03385, section 4.2. */
const struct dataset_kind dataset_cifar10 = {
    .name = "cifar10",
    .summary = "CIFAR-10, binary form, from --data",
    .source = "Krizhevsky 2009",
    .files = "cifar-10-batches-bin",
    .fetch = "data_loader/fetch cifar10 data",
    .recognises = recognises,
    .hints = hints,
    .preset = {.class_names = class_names,
               .classes = 10,
               .channels = 3,
               .height = CIFAR_SIDE,
               .width = CIFAR_SIDE,
               .mean = {0.4914f, 0.4822f, 0.4465f},
               .deviation = {0.2470f, 0.2435f, 0.2616f},
               .augmentation = {.border = 4, .mirror = true}},
    .open = open,
};
