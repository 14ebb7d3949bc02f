/* Fashion-MNIST: clothes in the form of MNIST (Xiao, Rasul, Vollgraf 2017). */
#include "data_loader/idx.h"

static const char *const folders[] = {"fashion-mnist", "FashionMNIST/raw", "FashionMNIST", NULL};

static const struct idx_set fashion_mnist = {
    .title = "Fashion-MNIST",
    .name = "fashion-mnist",
    .folders = folders,
    .word = "fashion",
    .images_crc = {0x678fe0b1, 0xb4f29f28},
    .labels_crc = {0x80142c1f, 0x741a4657},
};

static const char *const class_names[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                          "sandal",      "shirt",   "sneaker",  "bag",   "boot"};

static const struct hint hints[] = {
    {"fashion-mnist.part",
     "a download that broke off: data_loader/fetch fashion-mnist FOLDER goes on with it"},
    {0}};

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    return idx_recognises(&fashion_mnist, folder, place);
}

static void open(struct dataset *d, const struct dataset_options *options)
{
    idx_open(&fashion_mnist, d, options);
}

const struct dataset_kind dataset_fashion_mnist = {
    .name = "fashion-mnist",
    .summary = "Fashion-MNIST's clothes, IDX files, plain or .gz, from --data",
    .source = "Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
    .files = "fashion-mnist",
    .fetch = "data_loader/fetch fashion-mnist data",
    .recognises = recognises,
    .hints = hints,
    .preset = {.classes = IDX_CLASSES,
               .channels = 1,
               .height = IDX_SIDE,
               .width = IDX_SIDE,
               .class_names = class_names,
               .mean = {0.2860f},
               .deviation = {0.3530f},
               .augmentation = {.border = 2, .mirror = true}},
    .open = open,
};
