#!/usr/bin/python3
"""PyTorch's own way to train with several processes, the peer of our schemes on one host:
DistributedDataParallel over gloo, one thread a rank, channels last, generated images.

A batch of a rank is --minibatches mini-batches of --batch images; gradients are summed once a
batch, while backward computes its last mini-batch. --alone: the same processes, each by itself,
exchange nothing; what they do together says what an exchange costs. turns.h says what is read and
printed: images/s of all ranks. Rank 0 is this process, the others end with it.
"""

import argparse
import contextlib
import datetime
import multiprocessing
import os
import sys
import tempfile
import time


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--stem", default="imagenet", choices=("cifar", "imagenet"))
    parser.add_argument("--batch", type=int, default=32, help="images of a mini-batch")
    parser.add_argument("--dtype", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--alone", action="store_true", help="exchange nothing")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--turns", action="store_true")
    parser.add_argument(
        "--check", action="store_true", help="read the words and leave; needs no torch"
    )
    return parser.parse_args()


class Rank:
    """One process: its model, its data, its clock."""

    def __init__(self, o, number, store):
        import torch
        from torch import distributed

        from networks import build

        self.o, self.torch, self.distributed, self.number = o, torch, distributed, number
        torch.set_num_threads(1)
        torch.manual_seed(1 + number)
        distributed.init_process_group(
            "gloo",
            init_method="file://" + store,
            rank=number,
            world_size=o.ranks,
            timeout=datetime.timedelta(hours=1),
        )
        self.model = build(o.network, o.stem).train().to(memory_format=torch.channels_last)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        if not o.alone:
            self.model = torch.nn.parallel.DistributedDataParallel(
                self.model, gradient_as_bucket_view=True
            )
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4
        )
        images = torch.randn(o.batch, 3, 32, 32)
        self.images = images.to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (o.batch,))

    def minibatch(self):
        with self.torch.autocast(
            "cpu", dtype=self.torch.bfloat16, enabled=self.o.dtype == "bf16"
        ):
            logits = self.model(self.images)
            loss = self.torch.nn.functional.cross_entropy(logits, self.labels)
        loss.backward()
        return float(loss.detach())

    def batch(self):
        self.optimizer.zero_grad()
        for i in range(self.o.minibatches):
            last = self.o.alone or i == self.o.minibatches - 1
            with contextlib.nullcontext() if last else self.model.no_sync():
                loss = self.minibatch()
        self.optimizer.step()
        return loss

    def timed(self, batches):
        """So many batches; images/s of all ranks. Alone each rank has its own time."""
        self.distributed.barrier()
        begin = time.perf_counter()
        for _ in range(batches):
            self.batch()
        if not self.o.alone:
            self.distributed.barrier()
        mine = batches * self.o.minibatches * self.o.batch / (time.perf_counter() - begin)
        together = self.torch.tensor([mine], dtype=self.torch.float64)
        self.distributed.all_reduce(together)
        return float(together)

    def agree(self, batches):
        """How many rank 0 wants; 0: none any more."""
        wanted = self.torch.tensor([batches])
        self.distributed.broadcast(wanted, 0)
        return int(wanted)


def follow(o, number, store):
    rank = Rank(o, number, store)
    batches = rank.agree(0)
    while batches > 0:
        rank.timed(batches)
        batches = rank.agree(0)


def lines(o):
    yield from sys.stdin if o.turns else [str(o.seconds)]


def lead(o, store):
    rank = Rank(o, 0, store)
    per_rank = o.minibatches * o.batch
    speed = rank.timed(rank.agree(1))  # allocates
    speed = rank.timed(rank.agree(1))
    print(
        "ready backend=pytorch-%s parameters=%d" % (rank.torch.__version__, rank.parameters),
        flush=True,
    )
    for line in lines(o):
        try:
            seconds = float(line)
        except ValueError:
            break
        if seconds <= 0:
            break
        speed = rank.timed(rank.agree(max(1, round(seconds * speed / (o.ranks * per_rank)))))
        print("%.6g" % speed, flush=True)
    rank.agree(0)


def main():
    o = read_words()
    if o.check:
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        others = [
            spawn.Process(target=follow, args=(o, number, store), daemon=True)
            for number in range(1, o.ranks)
        ]
        for process in others:
            process.start()
        lead(o, store)
        for process in others:
            process.join(30)


if __name__ == "__main__":
    main()
