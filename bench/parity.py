#!/usr/bin/python3
"""The peer of bench/parity: CIFAR-10 in PyTorch by the program's recipe.

An endless stream of shuffled passes, a black border of 4 and mirror images, He's initialisation
(fan out), SGD with momentum 0.9, decay 5e-4 of what is no norm and no bias, 5 % warm-up from
lr / 25, cosine to 0. Prints top-1 in percent on all test images, with PyTorch's running averages,
and the mean training loss of the last pass.
"""

import argparse
import math
import sys

import networks
import numpy
import torch
from torch import nn
from torch.nn import functional

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BORDER, SIDE, WARMUP = 4, 32, 0.05


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="the folder of CIFAR-10's binary files")
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def read(folder, names):
    raw = numpy.concatenate(
        [numpy.fromfile("%s/%s.bin" % (folder, n), dtype=numpy.uint8) for n in names]
    ).reshape(-1, 1 + 3 * SIDE * SIDE)
    images = torch.from_numpy(raw[:, 1:].reshape(-1, 3, SIDE, SIDE).copy())
    return images, torch.from_numpy(raw[:, 0].astype(numpy.int64))


def normalised(images):
    mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, DEVIATION))
    return ((images.float() / 255 - mean) / deviation).contiguous(
        memory_format=torch.channels_last
    )


def augmented(images):
    """Each image cropped and mirrored at random, the border black."""
    count = len(images)
    wide = functional.pad(images, (BORDER,) * 4)
    down, right = torch.randint(0, 2 * BORDER + 1, (2, count, 1))
    column = torch.arange(SIDE).expand(count, SIDE)
    column = torch.where(torch.randint(0, 2, (count, 1)) > 0, SIDE - 1 - column, column)
    rows, columns = (down + torch.arange(SIDE))[:, :, None], (right + column)[:, None, :]
    return wide[torch.arange(count)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def stream(count):
    while True:
        yield from torch.randperm(count).tolist()


def initialise(model):
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")


def lr_at(done, lr):
    if done < WARMUP:
        return lr * (1 / 25 + (1 - 1 / 25) * done / WARMUP)
    return lr * (1 + math.cos(math.pi * min(1, (done - WARMUP) / (1 - WARMUP)))) / 2


def train(model, o, images, labels):
    """Returns the mean loss of the last pass."""
    groups = [{"params": [], "weight_decay": decay} for decay in (5e-4, 0)]
    for p in model.parameters():
        groups[p.dim() < 2]["params"].append(p)
    optimizer = torch.optim.SGD(groups, lr=o.lr, momentum=0.9)
    wanted, done, losses = o.passes * len(images), 0, []
    samples = stream(len(images))
    while done < wanted:
        for group in optimizer.param_groups:
            group["lr"] = lr_at(done / wanted, o.lr)
        chosen = torch.tensor([next(samples) for _ in range(o.batch)])
        optimizer.zero_grad()
        logits = model(normalised(augmented(images[chosen])))
        loss = functional.cross_entropy(logits, labels[chosen])
        loss.backward()
        optimizer.step()
        if done >= wanted - len(images):
            losses.append(loss.item())
        done += o.batch
    return sum(losses) / len(losses)


def top1(model, images, labels, batch=500):
    hits = 0
    model.eval()
    with torch.no_grad():
        for i in range(0, len(images), batch):
            guess = model(normalised(images[i : i + batch])).argmax(1)
            hits += (guess == labels[i : i + batch]).sum()
    return 100 * int(hits) / len(images)


def main():
    o = read_words()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    training = read(o.data, ["data_batch_%d" % i for i in range(1, 6)])
    model = networks.build(o.network, "cifar").to(memory_format=torch.channels_last).train()
    initialise(model)
    loss = train(model, o, *training)
    print("%.2f %.4f" % (top1(model, *read(o.data, ["test_batch"])), loss))


if __name__ == "__main__":
    sys.exit(main())
