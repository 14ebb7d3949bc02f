/* Image files in class folders: which there are, in torchvision's order.
 *
 * ROOT/CLASS/.../FILE: classes are ROOT's folders, sorted by name; a class's files are those below
 * its folder whose names end in a way that ImageFolder knows (.jpg .jpeg .png .ppm .bmp .pgm .tif
 * .tiff .webp, in any case), by folder, then by name. Names are compared byte by byte. Links are
 * followed; one that leads back to a folder above it is named and left out. Names that begin with a
 * dot are left out, which ImageFolder takes: they are what systems leave behind. */
#ifndef DATA_LOADER_CLASS_LISTING_H
#define DATA_LOADER_CLASS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listed_file {
    size_t name;   /* in text */
    int64_t bytes; /* -1: it is a link to nothing, or no plain file */
    int32_t folder, label;
};

struct class_listing {
    char *root;
    char *text; /* names, each with a zero byte */
    size_t text_used, text_room;
    size_t *class_name; /* [classes]; in text */
    int32_t *label;     /* [classes] */
    int classes;
    size_t *folder_name; /* [folders]; ROOT/CLASS/.. in text */
    int folders, folder_room;
    struct listed_file *file; /* [count] */
    int64_t count, room;
    int loops; /* links that were left out */
    char first_loop[400];
};

/* The classes alone. false: there is none, or no such folder. */
bool class_listing_open(struct class_listing *l, const char *root);

/* The files of all classes whose names are those of `classes`, which gives their labels. Fatal
 * where a folder cannot be read, a class has no file, or a class is not of `classes`. */
void class_listing_read(struct class_listing *l, const struct class_listing *classes);

void class_listing_close(struct class_listing *l);

/* The label of class c of its own, after class_listing_read(). */
int32_t class_listing_label(const struct class_listing *l, int c);

/* The path of a file, in path[LISTED_PATH], which is returned. */
enum { LISTED_PATH = 4096 + 256 };
char *class_listing_path(const struct class_listing *l, int64_t i, char *path);

/* Of classes, names and lengths of files in their order. */
uint64_t class_listing_digest(const struct class_listing *l);

#endif
