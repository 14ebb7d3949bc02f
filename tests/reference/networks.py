#!/usr/bin/python3
"""What PyTorch, in double, makes of two training steps and an evaluation of the networks that are
no ResNets, and of one with group norms: the numbers of networks.txt, in the form of step.txt (see
step.py).

    networks.py                        writes networks.txt beside itself (about two minutes)
    networks.py measure                prints how far PyTorch's own float32 is from it
    networks.py search [NETWORK..]     prints each seed's margin (see step.py)

case NETWORK HIDDEN BATCH HEIGHT WIDTH CLASSES SMOOTHING SEED CHANNELS; HIDDEN is --hidden, - where
there is no such option, `group` of a ResNet with --norm group. Dropout's masks are those of
backend/dropout.h, drawn here anew: key 0, the number of the unit in its network, the sample's place
in the batch.
"""

import math
import os
import sys

import numpy
import step
import torch
import torchvision
from torch import nn
from torchvision.models import vgg

CASES = [  # the seed is the one before the last: of 0 .. 7 the one with the widest margin
    ("lenet5", "-", 4, 28, 28, 10, 0.0, 5, 1),
    ("optml_mnist", "-", 2, 28, 28, 10, 0.1, 7, 1),
    ("optml_cifar", "-", 2, 32, 32, 10, 0.0, 4, 3),
    ("dinno", "-", 4, 28, 28, 10, 0.0, 4, 1),
    ("mlp", "200,200", 4, 28, 28, 10, 0.1, 7, 1),
    ("vgg11", "24,16", 2, 32, 64, 10, 0.0, 4, 3),
    ("vgg16", "24", 1, 32, 32, 10, 0.1, 5, 3),
    ("vgg16_bn", "24", 3, 32, 32, 10, 0.0, 1, 3),
    ("resnet18", "group", 2, 16, 24, 10, 0.1, 0, 3),
]
DROPOUT, STRIDE = 12, 0x9E3779B97F4A7C15  # of base/random.h


def mix(z):
    """SplitMix64's finaliser."""
    z = numpy.asarray(z, numpy.uint64) + numpy.uint64(STRIDE)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


class Dropout(nn.Module):
    """By key; `unit` is the number of the unit in its network."""

    def __init__(self, unit, p, by_channel=False):
        super().__init__()
        self.unit, self.p, self.by_channel = unit, p, by_channel

    def mask(self, sample, shape):
        """Of one sample, [h][w][c]."""
        key = mix(DROPOUT)
        for part in (0, self.unit, sample, 0):
            key = mix(key ^ numpy.uint64(part))
        e = numpy.arange(math.prod(shape), dtype=numpy.uint64)
        if self.by_channel:
            e %= numpy.uint64(shape[-1])
        drawn = mix(key + numpy.uint64(STRIDE) * e) >> numpy.uint64(11)
        kept = drawn.astype(numpy.float64) * 2.0**-53 >= self.p
        return torch.from_numpy(kept.reshape(shape) / (1 - self.p))

    def forward(self, x):
        if not self.training:
            return x
        shape = (x.shape[2], x.shape[3], x.shape[1]) if x.dim() == 4 else (x.shape[1],)
        masks = torch.stack([self.mask(sample, shape) for sample in range(len(x))])
        return x * (masks.permute(0, 3, 1, 2) if x.dim() == 4 else masks).to(x.dtype)


class Lenet5(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x):
        for convolution in (self.conv1, self.conv2):
            x = self.pool(self.relu(convolution(x)))
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x.flatten(1))))))


class Optml(nn.Module):
    def __init__(self, channels, classes, cifar):
        super().__init__()
        self.cifar = cifar
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=int(cifar))
        self.conv2 = nn.Conv2d(32, 64, 3, padding=int(cifar))
        self.fc1 = nn.Linear(4096 if cifar else 9216, 512 if cifar else 128)
        self.fc2 = nn.Linear(self.fc1.out_features, classes)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        first = 4 if cifar else 3
        self.dropout1 = Dropout(first, 0.25, cifar)
        self.dropout2 = Dropout(first + 2, 0.5, cifar)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(self.pool(x))) if self.cifar else self.conv2(x)
        x = self.dropout1(self.pool(x))
        return self.fc2(self.dropout2(self.relu(self.fc1(x.flatten(1)))))


class Vgg(nn.Module):
    def __init__(self, name, sizes, classes):
        super().__init__()
        kind = {"vgg11": "A", "vgg16": "D"}[name.split("_")[0]]
        self.features = vgg.make_layers(vgg.cfgs[kind], batch_norm=name.endswith("_bn"))
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        unit = 1 + sum(isinstance(m, (nn.Conv2d, nn.MaxPool2d)) for m in self.features)
        layers, width = [], 512 * 49
        for size in sizes:
            layers += [nn.Linear(width, size), nn.ReLU(), Dropout(unit + 1, 0.5)]
            width, unit = size, unit + 2
        self.classifier = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class Mlp(nn.Module):
    def __init__(self, inputs, sizes, classes):
        super().__init__()
        sizes = [inputs, *sizes, classes]
        self.relu, self.layers = nn.ReLU(), len(sizes) - 1
        for i in range(self.layers):
            setattr(self, "fc%d" % (i + 1), nn.Linear(sizes[i], sizes[i + 1]))

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.layers):
            x = self.relu(getattr(self, "fc%d" % i)(x))
        return getattr(self, "fc%d" % self.layers)(x)


class Dinno(nn.Module):
    def __init__(self, channels, side, classes):
        super().__init__()
        self.seq = nn.Sequential(
            nn.Conv2d(channels, 3, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(3 * ((side - 4) // 2) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )

    def forward(self, x):
        return self.seq(x)


def grouped(classes):
    """ResNet-18 for CIFAR: groups of two channels, 32 groups from 64 channels on."""
    model = torchvision.models.ResNet(
        *step.STANDARD["resnet18"],
        num_classes=classes,
        norm_layer=lambda channels: nn.GroupNorm(min(32, channels // 2), channels),
    )
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def network(case):
    name, hidden, _, height, width, classes, _, _, channels = case
    if hidden == "group":
        return grouped(classes)
    sizes = [int(size) for size in hidden.split(",")] if hidden != "-" else []
    if name == "lenet5":
        return Lenet5(channels, classes)
    if name.startswith("optml"):
        return Optml(channels, classes, name == "optml_cifar")
    if name == "dinno":
        return Dinno(channels, height, classes)
    if name == "mlp":
        return Mlp(channels * height * width, sizes, classes)
    return Vgg(name, sizes, classes)


def set_weights(model, seed):
    named = list(model.named_parameters())
    for k, (name, p) in enumerate(named):
        middle = 0.0
        if p.dim() == 4:
            spread = math.sqrt(6.0 / (p.shape[0] * p.shape[2] * p.shape[3]))
        elif p.dim() == 2 or k == len(named) - 1:
            spread = 1.0 / math.sqrt((p if p.dim() == 2 else named[-2][1]).shape[1])
        elif name.endswith("weight"):
            middle, spread = 1.0, 0.125
        else:
            middle = numpy.where(numpy.arange(p.numel()) % 2, -3.0, 3.0)
            spread = 0.125
        values = middle + spread * step.uniform(step.SEED * seed + k, p.numel())
        p.data = torch.from_numpy(values.astype(numpy.float32).reshape(p.shape)).to(p.dtype)


def batch_at(number, case, dtype):
    """As step.py's, of any number of channels."""
    _, _, batch, height, width, classes, _, seed, channels = case
    flat = step.uniform(
        step.SEED * seed + step.IMAGES + number, batch * height * width * channels
    ) * math.sqrt(3.0)
    images = torch.from_numpy(flat.astype(numpy.float32).reshape(batch, height, width, channels))
    labels = step.bits(step.SEED * seed + step.LABELS, batch * step.BATCHES)
    labels = labels[number * batch :][:batch] % numpy.uint64(classes)
    return (
        images.permute(0, 3, 1, 2).contiguous().to(dtype),
        torch.from_numpy(labels.astype(numpy.int64)),
    )


def prepared(case, dtype):
    model = network(case).to(dtype)
    set_weights(model, case[7])
    return model, [batch_at(n, case, dtype) for n in range(step.BATCHES)]


def run(case, dtype):
    lines = []
    model, batches = prepared(case, dtype)
    step.train(model, case, batches, lines)
    set_weights(model, case[7])
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        step.set_statistics(model, batches)
    lines += [
        ("statistic " + k, step.digest(t)) for k, t in model.state_dict().items() if "running" in k
    ]
    with torch.no_grad():
        step.forward(model.eval(), *batches[0], case[6], lines)
    return lines


def margin(case):
    """Over both training steps."""
    model, batches = prepared(case, torch.float64)
    least = []

    def relu(_, inputs):
        x = inputs[0].detach()
        least.append((x.abs().min() / x.pow(2).mean().sqrt()).item())

    def pool(_, inputs):  # after a ReLU two zeros are as good as each other
        x = inputs[0].detach()
        windows = nn.functional.unfold(x.flatten(0, 1)[:, None], 2, stride=2)
        first, second = windows.topk(2, 1).values.unbind(1)
        least.append(((first - second)[second != 0].min() / x.pow(2).mean().sqrt()).item())

    for module in model.modules():
        if isinstance(module, (nn.ReLU, nn.MaxPool2d)):
            module.register_forward_pre_hook(relu if isinstance(module, nn.ReLU) else pool)
    step.train(model, case, batches, [])
    return min(least)


def write(path):
    with open(path, "w") as out:
        print("# PyTorch %s, written by networks.py" % torch.__version__, file=out)
        for case in CASES:
            print("case", *case, file=out)
            for what, values in run(case, torch.float64):
                print(what, *("%.8g" % v for v in values), file=out)
            print("end", file=out)


def search():
    for case in CASES:
        if sys.argv[2:] and case[0] not in sys.argv[2:]:
            continue
        for seed in range(8):
            tried = case[:7] + (seed,) + case[8:]
            print(*tried, "margin %.1e" % margin(tried), flush=True)


def measure():
    step.CASES, step.run = CASES, run
    step.measure()


if __name__ == "__main__":
    torch.set_num_threads(2)
    numpy.seterr(over="ignore")
    if sys.argv[1:]:
        {"measure": measure, "search": search}[sys.argv[1]]()
    else:
        write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks.txt"))
