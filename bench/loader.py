#!/usr/bin/python3
"""The peer of bench/loader.c: torchvision's ImageFolder and transforms under PyTorch's DataLoader,
in turns (turns.h): images a second over a turn. What was made ahead is thrown away first."""

import argparse
import sys
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--what", default="train", choices=("train", "judge"))
parser.add_argument("--data", default=".")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--side", type=int, default=224)
parser.add_argument("--batch", type=int, default=32)
o = parser.parse_args()

sys.path.pop(0)  # this folder has a pytorch.py, which is not what others mean

import torch
from torchvision import datasets, transforms

AHEAD = 2


def batches(loader):
    while True:
        yield from loader


def main():
    torch.set_num_threads(1)
    shown = (
        [transforms.RandomResizedCrop(o.side), transforms.RandomHorizontalFlip()]
        if o.what == "train"
        else [transforms.Resize(round(o.side * 8 / 7)), transforms.CenterCrop(o.side)]
    )
    normalised = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    images = datasets.ImageFolder(
        o.data + "/train", transforms.Compose(shown + [transforms.ToTensor(), normalised])
    )
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=o.batch,
        shuffle=o.what == "train",
        drop_last=True,
        num_workers=o.threads,
        prefetch_factor=AHEAD,
        persistent_workers=True,
    )
    endless = batches(loader)
    next(endless)
    print("ready images=%d" % len(images), flush=True)
    for line in sys.stdin:
        try:
            seconds = float(line)
        except ValueError:
            return
        for _ in range(AHEAD * o.threads + 1):
            next(endless)
        count, begin = 0, time.monotonic()
        while True:
            next(endless)
            count += o.batch
            now = time.monotonic()
            if now >= begin + seconds:
                break
        print("%.6g" % (count / (now - begin)), flush=True)


main()
