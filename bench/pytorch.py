#!/usr/bin/python3
"""The peer of bench/step.c: the same networks in PyTorch, channels last, one training step on
generated images, interleaved.

The ResNets are those of He et al. (2016) with the stride in the 3x3 convolution, as torchvision has
them; resnet20 .. resnet110 are the small ones of its section 4.2 with shortcuts without parameters
(option A). bf16 is torch.autocast, PyTorch's own way. On a GPU the images lie there already.
--compile MODE is torch.compile's (default, reduce-overhead: with CUDA graphs), and takes the fused
optimizer. turns.h says what is read and printed.
"""

import argparse
import sys
import time


def read_words():
    sizes = [18, 34, 50, 101, 152, 20, 32, 44, 56, 110]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--network", default="resnet50", choices=["resnet%d" % size for size in sizes]
    )
    parser.add_argument("--stem", default="cifar", choices=("cifar", "imagenet"))
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compile", metavar="MODE", default="")
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--gradient", action="store_true", help="without the update")
    parser.add_argument("--turns", action="store_true")
    parser.add_argument(
        "--wait", action="store_true", help="for a line of input before anything is computed"
    )
    parser.add_argument(
        "--check", action="store_true", help="read the words and leave; needs no torch"
    )
    return parser.parse_args()


o = read_words()
if o.check:
    sys.exit(0)

import torch
from torch import nn
from torch.nn import functional

LAYERS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
LAYERS.update({"resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)})
LAYERS.update({"resnet%d" % (6 * n + 2): (n, n, n) for n in (3, 5, 7, 9, 18)})


class Subsample(nn.Module):
    """Every stride-th pixel; further channels are zero."""

    def __init__(self, stride, more):
        super().__init__()
        self.stride, self.more = stride, more

    def forward(self, x):
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class Block(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3, 1x1, beside a shortcut."""

    def __init__(self, inputs, width, stride, bottleneck, parameters):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        plan = (
            [(1, width, 1), (3, width, stride), (1, outputs, 1)]
            if bottleneck
            else [(3, width, stride), (3, width, 1)]
        )
        layers, channels = [], inputs
        for kernel, out, step in plan:
            layers += [
                nn.Conv2d(channels, out, kernel, step, kernel // 2, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
            channels = out
        self.path = nn.Sequential(*layers[:-1])
        self.shortcut = None
        if (stride != 1 or inputs != outputs) and parameters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        elif stride != 1 or inputs != outputs:
            self.shortcut = Subsample(stride, outputs - inputs)
        self.relu = nn.ReLU(inplace=True)
        self.outputs = outputs

    def forward(self, x):
        y = self.path(x)
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


def build(network, stem, classes=10):
    counts = LAYERS[network]
    small, bottleneck = len(counts) == 3, network in ("resnet50", "resnet101", "resnet152")
    width = 16 if small else 64
    if stem == "imagenet" and not small:
        layers = [
            nn.Conv2d(3, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
    else:
        layers = [
            nn.Conv2d(3, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    channels = width
    for stage, count in enumerate(counts):
        for i in range(count):
            layers.append(
                Block(channels, width << stage, 2 if stage and not i else 1, bottleneck, not small)
            )
            channels = layers[-1].outputs
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def main():
    if o.wait:
        sys.stdin.readline()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    model = build(o.network, o.stem).train().to(o.device, memory_format=torch.channels_last)
    images = torch.randn(o.batch, 3, o.side, o.side).to(o.device, memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (o.batch,)).to(o.device)
    fused = {"fused": True} if o.compile else {}
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, **fused
    )
    parameters = sum(p.numel() for p in model.parameters())
    if o.compile:
        model = torch.compile(model, mode=o.compile)
    # Steps between two waits for the device, which may lag.
    together = 10 if o.device == "cuda" else 1

    def step():
        optimizer.zero_grad(set_to_none=o.device == "cuda")
        with torch.autocast(o.device, dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
            loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        if not o.gradient:
            optimizer.step()
        return loss.detach()

    def measure():
        begin = time.perf_counter()
        for _ in range(together):
            step()
        if o.device == "cuda":
            torch.cuda.synchronize()
        return together * o.batch / (time.perf_counter() - begin)

    def answer(seconds):
        end, figures = time.perf_counter() + seconds, []
        while not figures or time.perf_counter() < end:
            figures.append("%.6g" % measure())
        print(" ".join(figures), flush=True)

    loss = float("nan")
    for _ in range(o.warm):
        loss = float(step())
    print(
        "ready backend=pytorch-%s parameters=%d loss=%.5f" % (torch.__version__, parameters, loss),
        flush=True,
    )
    if not o.turns:
        answer(o.seconds)
        return
    for line in sys.stdin:
        try:
            seconds = float(line)
        except ValueError:
            break
        if seconds <= 0:
            break
        answer(seconds)


main()
