#!/usr/bin/python3
"""What Pillow makes of image files: files, views of them, and the views' pixels.

images.py FOLDER [FILE ...]

Writes files into the folder, and cases.txt with a line a case: NUMBER FILE VIEW NUMBERS.., where
VIEW is `box` (left, top, width, height, and what it becomes: width, height) or `centre` (short
side, side). NUMBER.rgb has the pixels. FILEs are real images, which are views' sources, too.

Exits with 77 where Pillow or numpy is missing.
"""

import os
import random
import sys

try:
    import numpy
    from PIL import Image
except ImportError as missing:
    print("%s: there is no %s for %s" % (sys.argv[0], missing.name, sys.executable))
    sys.exit(77)

folder, real = sys.argv[1], sys.argv[2:]
draw = random.Random(5)
cases = open(os.path.join(folder, "cases.txt"), "w")
count = 0


def smooth(width, height, layers):
    y, x = numpy.mgrid[0:height, 0:width]
    planes = [
        128 + 80 * numpy.sin(0.11 * x + 0.06 * y * (c + 1)) + 40 * numpy.cos(0.2 * y - c)
        for c in range(layers)
    ]
    noise = numpy.random.RandomState(width).randint(-8, 8, (height, width, layers))
    return numpy.clip(numpy.stack(planes, -1) + noise, 0, 255).astype(numpy.uint8)


def case(path, image, view, *numbers):
    global count
    print(count, path, view, *numbers, file=cases)
    with open(os.path.join(folder, "%d.rgb" % count), "wb") as file:
        file.write(numpy.asarray(image).tobytes())
    count += 1


def views(path):
    image = Image.open(path).convert("RGB")
    width, height = image.size
    case(path, image, "box", 0, 0, width, height, width, height)
    for side in (7, 32, 224):
        w, h = draw.randint(1, width), draw.randint(1, height)
        left, top = draw.randint(0, width - w), draw.randint(0, height - h)
        part = image.crop((left, top, left + w, top + h)).resize((side, side), Image.BILINEAR)
        case(path, part, "box", left, top, w, h, side, side)
    for short, side in ((256, 224), (40, 33)):
        # torchvision's Resize(short), CenterCrop(side)
        size = int(short * max(width, height) / min(width, height))
        size = (short, size) if width <= height else (size, short)
        left, top = (int(round((s - side) / 2.0)) for s in size)
        part = image.resize(size, Image.BILINEAR).crop((left, top, left + side, top + side))
        case(path, part, "centre", short, side)


def save(name, pixels, mode, **options):
    path = os.path.join(folder, name)
    planes = [Image.fromarray(numpy.ascontiguousarray(pixels[:, :, c])) for c in range(len(mode))]
    image = Image.merge(mode, planes)
    if options.pop("palette", False):
        image = image.quantize(50)
    image.save(path, **options)
    views(path)


turned = Image.Exif()
turned[0x112] = 6
save("grey.jpg", smooth(61, 47, 1), "L")
save("colour.jpg", smooth(300, 200, 3), "RGB", subsampling=0)
save("colour-422.jpg", smooth(301, 203, 3), "RGB", subsampling=1)
save("colour-420.jpg", smooth(303, 201, 3), "RGB", subsampling=2)
save("progressive.jpg", smooth(200, 333, 3), "RGB", progressive=True)
save("turned.jpg", smooth(120, 50, 3), "RGB", exif=turned)
save("cmyk.jpg", smooth(90, 110, 4), "CMYK")
save("tiny.jpg", smooth(1, 1, 3), "RGB")
save("long.jpg", smooth(3000, 3, 3), "RGB")
save("grey.png", smooth(70, 30, 1), "L")
save("grey-alpha.png", smooth(70, 30, 2), "LA")
save("colour.png", smooth(150, 99, 3), "RGB")
save("alpha.png", smooth(65, 99, 4), "RGBA")
save("palette.png", smooth(65, 99, 3), "RGB", palette=True)
for path in real:
    views(path)
