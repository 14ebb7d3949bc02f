/* CIFAR-100 in its binary form (Krizhevsky 2009): a training file of 50,000 records and a test file
 * of 10,000, each with a coarse and a fine label byte before its image. */
#include <stddef.h>
#include <string.h>

#include "data_loader/cifar_file.h"

enum { COARSE, FINE };

struct cifar100_options {
    const char *labels;
};

static const char *const folders[] = {"cifar-100-binary", NULL};
static const char *const files[] = {"train.bin", "test.bin", NULL};

static const struct cifar cifar100 = {
    .title = "CIFAR-100",
    .name = "cifar100",
    .folders = folders,
    .files = files,
    .training_files = 1,
    .records = {10000, 50000},
    .labels = 2,
    .classes = {[COARSE] = 20, [FINE] = 100},
};

static const char *const fine_names[] = {
    "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
    "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
    "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
    "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
    "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
    "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
    "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
    "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
    "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
    "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
    "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
    "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
    "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
    "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
    "table",       "tank",          "telephone", "television", "tiger",        "tractor",
    "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
    "willow_tree", "wolf",          "woman",     "worm"};
static const char *const coarse_names[] = {"aquatic_mammals",
                                           "fish",
                                           "flowers",
                                           "food_containers",
                                           "fruit_and_vegetables",
                                           "household_electrical_devices",
                                           "household_furniture",
                                           "insects",
                                           "large_carnivores",
                                           "large_man-made_outdoor_things",
                                           "large_natural_outdoor_scenes",
                                           "large_omnivores_and_herbivores",
                                           "medium_mammals",
                                           "non-insect_invertebrates",
                                           "people",
                                           "reptiles",
                                           "small_mammals",
                                           "trees",
                                           "vehicles_1",
                                           "vehicles_2"};

static const char python[] = "the version for Python of CIFAR-100; the binary version is needed "
                             "(data_loader/fetch cifar100 FOLDER)";

static const struct hint hints[] = {
    {"cifar-100-binary.tar.gz", "the archive, not unpacked: tar -xzf cifar-100-binary.tar.gz"},
    {"cifar-100-binary.part",
     "a download that broke off: data_loader/fetch cifar100 FOLDER goes on with it"},
    {"cifar-100-python.tar.gz", python},
    {"cifar-100-python", python},
    {"cifar-100-matlab.tar.gz", "the version for Matlab of CIFAR-100; the binary version is needed "
                                "(data_loader/fetch cifar100 FOLDER)"},
    {0}};

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    return cifar_recognises(&cifar100, folder, place);
}

static void open(struct dataset *d, const struct dataset_options *options)
{
    const struct cifar100_options *own = options->own;
    int label = own && !strcmp(own->labels, "coarse") ? COARSE : FINE;
    size_t length;
    cifar_open(&cifar100, label, d, options);
    d->class_names = label == COARSE ? coarse_names : fine_names;
    length = strlen(d->source);
    snprintf(d->source + length, sizeof d->source - length, ", %s labels",
             label == COARSE ? "coarse" : "fine");
}

static const struct option_row rows[] = {
    {.name = "cifar100-labels",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct cifar100_options, labels),
     .preset = "fine",
     .choices = "fine|coarse",
     .help = "100 classes, or the 20 groups that they belong to"},
    {0}};

static const struct option_set option_set = {.title = "CIFAR-100",
                                             .owner = "--dataset cifar100",
                                             .rows = rows,
                                             .size = sizeof(struct cifar100_options)};

const struct dataset_kind dataset_cifar100 = {
    .name = "cifar100",
    .summary = "CIFAR-100, binary form, from --data",
    .source = "Krizhevsky 2009",
    .files = "cifar-100-binary",
    .fetch = "data_loader/fetch cifar100 data",
    .recognises = recognises,
    .hints = hints,
    .options = &option_set,
    .preset = {.classes = 100,
               .channels = 3,
               .height = CIFAR_SIDE,
               .width = CIFAR_SIDE,
               .mean = {0.5071f, 0.4866f, 0.4409f},
               .deviation = {0.2673f, 0.2564f, 0.2762f},
               .augmentation = {.border = 4, .mirror = true}},
    .open = open,
};
