#!/usr/bin/python3
"""What PyTorch, in double, makes of two training steps and an evaluation, in numbers that
test_network.c compares.

    step.py            writes step.txt and torchvision.txt beside itself (about three minutes)
    step.py measure    prints how far PyTorch's own float32 is from it: what the test may allow
    step.py search     prints each seed's margin (see CASES)

Weights, images and labels follow a formula that both sides compute: element i of tensor k is a hash
of (seed, k, i), made a float32. What goes into a ReLU is kept from 0 by a beta of 3 deviations in
even channels, of -3 in odd ones: so float32 and double seldom fall on different sides, which would
move a gradient by 1 / sqrt(elements). The last gamma of a bottleneck is small: so gradients do not
explode. step.txt has a part for each case:

case NETWORK STEM BATCH HEIGHT WIDTH CLASSES SMOOTHING SEED loss SUM, logits ... step 1, on batch 0
gradient TENSOR DIGEST of each tensor loss SUM, logits ... step 2, on batch 1: SGD with momentum and
weight decay on all tensors change TENSOR DIGEST weights after two steps less weights before them
statistic TENSOR DIGEST mean and biased variance of all samples of BATCHES batches, at the first
weights loss SUM, logits ... evaluation of batch 0 with these statistics, at the first weights

DIGEST: the L2 norm, the sum of element i times the hash of (SIGNS, i), the elements at 1/6, 3/6 and
5/6 of the tensor. torchvision.txt has the names and shapes of torchvision's state_dict, in its
order.
"""

import math
import os
import sys

import numpy
import torch
import torchvision
from torchvision.models.resnet import BasicBlock

# The last number is the seed: of 0 .. 7 the one with the widest margin, that is, where nothing
# comes so near to a ReLU's 0, and no second greatest to the greatest of a pool, in parts of the
# tensor's root mean square.
CASES = [
    ("resnet20", "cifar", 4, 32, 32, 10, 0.0, 6),
    ("resnet18", "cifar", 3, 16, 24, 7, 0.1, 3),
    ("resnet50", "cifar", 2, 32, 32, 10, 0.1, 6),
    ("resnet50", "imagenet", 4, 64, 64, 10, 0.0, 6),
]
RATE, MOMENTUM, DECAY, BATCHES = 0.005, 0.9, 0.01, 3
SEED, LABELS, SIGNS, IMAGES = (
    4096,
    998,
    999,
    1000,
)  # keys: SEED x seed + the tensor's place, or one of these; + the batch's number
STANDARD = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet50": (torchvision.models.resnet.Bottleneck, [3, 4, 6, 3]),
}
NAMED = [*STANDARD, "vgg11", "vgg16_bn"]  # of whose tensors torchvision.txt has the names


def bits(key, count):
    """murmur3's finaliser of i and a key, 32 bits."""
    h = (numpy.arange(count, dtype=numpy.uint64) * 0x9E3779B1 + key * 0x85EBCA77) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = ((h ^ (h >> numpy.uint64(shift))) * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    return h


def uniform(key, count):
    """In [-1, 1), 24 bits: a float32 holds it."""
    return (bits(key, count) >> numpy.uint64(8)).astype(numpy.float64) / 2.0**23 - 1.0


class ShortcutA(torch.nn.Module):
    """He's option A: every second pixel, further channels are zero."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return torch.nn.functional.pad(
            x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.channels - x.shape[1])
        )


class Small(torch.nn.Module):
    """He's networks for CIFAR, of torchvision's blocks."""

    def __init__(self, blocks, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        self.relu = torch.nn.ReLU()
        for stage in range(3):
            wide, first = 16 << stage, max(8 << stage, 16)
            strides = [1 + (stage > 0)] + [1] * (blocks - 1)
            setattr(
                self,
                "layer%d" % (stage + 1),
                torch.nn.Sequential(
                    *[
                        BasicBlock(
                            wide if i else first, wide, s, ShortcutA(wide) if s > 1 else None
                        )
                        for i, s in enumerate(strides)
                    ]
                ),
            )
        self.fc = torch.nn.Linear(64, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def network(name, stem, classes):
    if name == "resnet20":
        return Small(3, classes)
    model = torchvision.models.ResNet(*STANDARD[name], num_classes=classes)
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def set_weights(model, seed):
    for k, (name, p) in enumerate(model.named_parameters()):
        if p.dim() == 4:
            middle, spread = 0.0, math.sqrt(6.0 / (p.shape[0] * p.shape[2] * p.shape[3]))
        elif name.startswith("fc"):
            middle, spread = 0.0, 1.0 / math.sqrt(model.fc.in_features)
        else:
            middle, spread = 0.25 if "bn3" in name else 1.0, 0.125
        values = uniform(SEED * seed + k, p.numel())
        if name.endswith("bias") and not name.startswith("fc"):
            middle = numpy.where(numpy.arange(values.size) % 2, -3.0 * middle, 3.0 * middle)
        values = (middle + spread * values).astype(numpy.float32)
        p.data = torch.from_numpy(values.reshape(p.shape)).to(p.dtype)


def batch_at(number, case, dtype):
    """Images are filled as they lie in C, [batch][h][w][c]."""
    _, _, batch, height, width, classes, _, seed = case
    flat = math.sqrt(3.0) * uniform(SEED * seed + IMAGES + number, batch * height * width * 3)
    images = torch.from_numpy(flat.astype(numpy.float32).reshape(batch, height, width, 3)).permute(
        0, 3, 1, 2
    )
    labels = bits(SEED * seed + LABELS, batch * BATCHES)[number * batch :][:batch] % numpy.uint64(
        classes
    )
    return images.contiguous().to(dtype), torch.from_numpy(labels.astype(numpy.int64))


def digest(tensor):
    v = tensor.detach().double().numpy().ravel()
    return [math.sqrt((v * v).sum()), (v * uniform(SIGNS, v.size)).sum()] + [
        v[v.size * (2 * j + 1) // 6] for j in range(3)
    ]


def forward(model, images, labels, smoothing, lines):
    logits = model(images)
    loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    lines.append(("loss", [loss.item() * len(labels)]))
    lines.append(("logits", logits.detach().double().numpy().ravel()))
    return loss


def pooled(inputs):
    """Mean and biased variance of each channel over all that came."""
    return [
        (x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False))
        for x in (torch.cat(i) for i in inputs)
    ]


def set_statistics(model, batches):
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    inputs = [[] for _ in norms]
    hooks = [
        m.register_forward_hook(lambda _, x, __, seen=seen: seen.append(x[0].detach()))
        for m, seen in zip(norms, inputs)
    ]
    with torch.no_grad():
        for images, _ in batches:
            model(images)
    for hook in hooks:
        hook.remove()
    for m, (mean, variance) in zip(norms, pooled(inputs)):
        m.running_mean, m.running_var = mean, variance


def train(model, case, batches, lines):
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    rule = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for step in range(2):
        model.zero_grad()
        forward(model, *batches[step], case[6], lines).backward()
        if step == 0:
            lines += [("gradient " + k, digest(p.grad)) for k, p in model.named_parameters()]
        rule.step()
    lines += [
        ("change " + k, digest(p.double() - before[k].double()))
        for k, p in model.named_parameters()
    ]


def prepared(case, dtype):
    name, stem, _, _, _, classes, _, seed = case
    model = network(name, stem, classes).to(dtype)
    set_weights(model, seed)
    return model, [batch_at(n, case, dtype) for n in range(BATCHES)]


def run(case, dtype):
    lines = []
    model, batches = prepared(case, dtype)
    train(model, case, batches, lines)
    set_weights(model, case[-1])
    set_statistics(model, batches)
    lines += [
        ("statistic " + k, digest(t)) for k, t in model.state_dict().items() if "running" in k
    ]
    with torch.no_grad():
        forward(model.eval(), *batches[0], case[6], lines)
    return lines


def margin(case):
    """Over both training steps."""
    model, batches = prepared(case, torch.float64)
    least = []

    def relu(_, inputs):
        x = inputs[0].detach()
        least.append((x.abs().min() / x.pow(2).mean().sqrt()).item())

    def pool(_, inputs):  # behind a ReLU: a padding of 0 is as good as any
        x = inputs[0].detach()
        first, second = (
            torch.nn.functional.unfold(x.flatten(0, 1)[:, None], 3, padding=1, stride=2)
            .topk(2, 1)
            .values.unbind(1)
        )
        least.append(((first - second)[second > 0].min() / x.pow(2).mean().sqrt()).item())

    for module in model.modules():
        if isinstance(module, (torch.nn.ReLU, torch.nn.MaxPool2d)):
            module.register_forward_pre_hook(relu if isinstance(module, torch.nn.ReLU) else pool)
    train(model, case, batches, [])
    return min(least)


def write_steps(path):
    with open(path, "w") as out:
        print("# PyTorch %s, written by step.py" % torch.__version__, file=out)
        for case in CASES:
            print("case", *case, file=out)
            for what, values in run(case, torch.float64):
                print(what, *("%.8g" % v for v in values), file=out)
            print("end", file=out)


def write_names(path):
    with open(path, "w") as out:
        print("# torchvision %s, written by step.py" % torchvision.__version__, file=out)
        for name in NAMED:
            print("network", name, file=out)
            with torch.device("meta"):
                tensors = getattr(torchvision.models, name)(weights=None).state_dict()
            for key, tensor in tensors.items():
                if not key.endswith("num_batches_tracked"):
                    print(key, *tensor.shape, file=out)


def measure():
    for case in CASES:
        worst = {}
        for (what, truth), (_, found) in zip(run(case, torch.float64), run(case, torch.float32)):
            kind, truth, found = what.split()[0], numpy.asarray(truth), numpy.asarray(found)
            scale = abs(truth).max() if kind in ("loss", "logits") else truth[0]
            both = worst.setdefault(kind, [0.0, 0.0])
            both[0] = max(
                both[0],
                abs(found - truth)[: 2 if kind not in ("loss", "logits") else None].max() / scale,
            )
            both[1] = max(both[1], abs(found[-3:] - truth[-3:]).max() / scale)
        print(
            *case[:5],
            *("%s %.1e (elements %.1e of the norm)" % (k, *v) for k, v in worst.items()),
            sep=", "
        )


def search():
    for case in CASES:
        for seed in range(8):
            print(*case[:-1], seed, "margin %.1e" % margin(case[:-1] + (seed,)), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    folder = os.path.dirname(os.path.abspath(__file__))
    if sys.argv[1:]:
        {"measure": measure, "search": search}[sys.argv[1]]()
    else:
        write_names(os.path.join(folder, "torchvision.txt"))
        write_steps(os.path.join(folder, "step.txt"))
