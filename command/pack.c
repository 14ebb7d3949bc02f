/* `nbsgd pack DIR OUT`: class folders of images into shards. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "command/command.h"
#include "data_loader/data_loader.h"

static const char usage[] =
    "Usage: nbsgd pack [OPTION ...] DIR OUT\n"
    "Packs the images of DIR/train/CLASS/, and of DIR/val/CLASS/ or DIR/test/CLASS/, into shards\n"
    "OUT/train-00000.shard .. and OUT/val-00000.shard .., which --dataset shards reads.\n\n"
    "  --shard-size SIZE   of image files in a shard: 256M (the default), 1G, 500000\n"
    "  --short-side N      shrink images whose shorter side is longer, and write them as JPEG;\n"
    "                      0 (the default): all bytes stay as they are\n"
    "  --quality N         of these JPEGs, 1 to 100 (90)\n"
    "  --skip              leave out files that are no whole images, and name them\n";

static double number(const char *option, const char *text, double least, double most)
{
    static const char units[] = "kMGT";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (unit)
        value *= pow(1024, (double)(unit - units) + 1);
    if (end == text || (unit ? end[1] : *end) || !(value >= least && value <= most))
        fatal("pack --%s %s: a number from %.0f to %.0f is expected (with k, M or G behind it)",
              option, text, least, most);
    return value;
}

static int run(int argc, char **argv, struct stop *stop)
{
    static const struct option words[] = {
        {"shard-size", 1, NULL, 's'}, {"short-side", 1, NULL, 'n'}, {"quality", 1, NULL, 'q'},
        {"skip", 0, NULL, 'k'},       {"help", 0, NULL, 'h'},       {0}};
    struct pack_options o = {.shard_bytes = 256 << 20, .quality = 90};
    (void)stop;
    opterr = 0;
    for (int word; (word = getopt_long(argc, argv, ":", words, NULL)) != -1;) {
        if (word == 's')
            o.shard_bytes = (int64_t)number("shard-size", optarg, 1, 1e12);
        else if (word == 'n')
            o.short_side = (int)number("short-side", optarg, 0, 65500);
        else if (word == 'q')
            o.quality = (int)number("quality", optarg, 1, 100);
        else if (word == 'k')
            o.skip = true;
        else if (word == 'h')
            return fputs(usage, stdout) < 0;
        else
            fatal("pack: %s '%s'; nbsgd pack --help shows how it is used",
                  word == ':' ? "a value is missing behind" : "there is no option",
                  argv[optind - 1]);
    }
    if (argc - optind != 2)
        fatal("pack: two folders are expected, %d are there: nbsgd pack DIR OUT", argc - optind);
    o.folder = argv[optind];
    o.out = argv[optind + 1];
    dataset_pack(&o);
    return 0;
}

const struct command command_pack = {
    .name = "pack",
    .summary = "class folders of images into shards (nbsgd pack --help)",
    .run = run,
};
