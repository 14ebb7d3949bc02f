/* The own options of --dataset folder. */
#ifndef DATA_LOADER_CLASS_FOLDER_H
#define DATA_LOADER_CLASS_FOLDER_H

#include "data_loader/rendering.h"

struct class_folder_options {
    struct rendering_options;
    const char *unreadable; /* refuse, check, skip */
};

#endif
