#!/usr/bin/python3
"""The peer of bench/step.c: the same networks in PyTorch, channels last, one training step on
generated images, interleaved.

The networks are those of networks.py. bf16 is torch.autocast, PyTorch's own way. On a GPU the
images lie there already. --compile MODE is torch.compile's (default, reduce-overhead: with CUDA
graphs), and takes the fused optimizer. turns.h says what is read and printed.
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
from torch.nn import functional

from networks import build


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
