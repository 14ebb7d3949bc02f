#!/usr/bin/python3
"""Prints the table `by_pytorch` of test_units.c: what PyTorch, in double, makes of units whose
numbers follow a formula.

Element i (in the order that backend/backend.h gives) of x, skip, w and dy is sin or cos of a
multiple of i; a tensor is reported as the sum of element i times cos(i). Run: python3
tests/pytorch_units.py
"""

import math
import torch
import torch.nn.functional as F

CASES = [  # kind, batch, in_c, in_h, in_w, out_c, kernel, stride, pad, norm, skip, relu
    ("CONV", 2, 3, 5, 6, 4, 3, 1, 1, 1, 1, 1),
    ("CONV", 1, 2, 9, 7, 5, 7, 2, 3, 1, 0, 1),
    ("CONV", 3, 4, 4, 3, 3, 1, 2, 0, 1, 0, 0),
    ("CONV", 2, 5, 3, 3, 2, 3, 2, 1, 0, 0, 1),
    ("CONV", 2, 2, 4, 4, 3, 3, 1, 0, 0, 1, 0),
    ("DENSE", 3, 5, 1, 1, 4, 1, 1, 0, 0, 0, 0),
    ("MAX_POOL", 2, 3, 7, 6, 3, 3, 2, 1, 0, 0, 0),
    ("MEAN_POOL", 2, 3, 4, 5, 3, 1, 1, 0, 0, 0, 0),
    ("SHORTCUT", 2, 3, 5, 4, 7, 1, 2, 0, 0, 0, 0),
]


def series(function, step, start, shape):
    count = math.prod(shape)
    return torch.tensor(
        [function(step * i + start) for i in range(count)], dtype=torch.float64
    ).reshape(shape)


def checksum(t):
    return sum(v * math.cos(i) for i, v in enumerate(t.reshape(-1).tolist()))


def nchw(t):
    return t.permute(0, 3, 1, 2)


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


def run(kind, batch, in_c, in_h, in_w, out_c, kernel, stride, pad, norm, skip, relu):
    x = series(math.sin, 0.7, 0.1, (batch, in_h, in_w, in_c)).requires_grad_()
    s = w = None
    mean = variance = 0.0
    if kind == "CONV":
        count = out_c * kernel * kernel * in_c
        w = series(math.cos, 0.9, 0.0, (count + 2 * out_c * norm,)).requires_grad_()
        y = F.conv2d(
            nchw(x),
            nchw(w[:count].reshape(out_c, kernel, kernel, in_c)),
            stride=stride,
            padding=pad,
        )
        if norm:
            mean = checksum(y.mean((0, 2, 3)))
            variance = checksum(y.var((0, 2, 3), unbiased=False))
            y = F.batch_norm(
                y, None, None, w[count : count + out_c], w[count + out_c :], training=True, eps=1e-5
            )
        if skip:
            s = series(math.sin, 0.3, 0.4, tuple(nhwc(y).shape)).requires_grad_()
            y = y + nchw(s)
        y = nhwc(F.relu(y) if relu else y)
    elif kind == "DENSE":
        w = series(math.cos, 0.9, 0.0, (out_c * in_c + out_c,)).requires_grad_()
        y = F.linear(
            x.reshape(batch, in_c), w[: out_c * in_c].reshape(out_c, in_c), w[out_c * in_c :]
        )
    elif kind == "MAX_POOL":
        y = nhwc(F.max_pool2d(nchw(x), kernel, stride, pad))
    elif kind == "MEAN_POOL":
        y = F.adaptive_avg_pool2d(nchw(x), 1).reshape(batch, in_c)
    else:  # as the option A of the usual CIFAR ResNets, but all zeros after
        y = F.pad(x[:, ::stride, ::stride, :], (0, out_c - in_c))
    y.backward(series(math.cos, 0.5, 0.3, tuple(y.shape)))
    sums = [checksum(y), checksum(x.grad)] + [
        checksum(t.grad) if t is not None else 0.0 for t in (s, w)
    ]
    out_h, out_w = y.shape[1:3] if y.dim() == 4 else (1, 1)
    shape = [batch, in_c, in_h, in_w, out_c, out_h, out_w, kernel, stride, pad, norm, skip, relu]
    return shape, sums + [float(mean), float(variance)]


def loss(classes, smoothing):
    batch = 4
    logits = torch.tensor(
        [(i * 37 % 64 - 32) / 8 for i in range(batch * classes)], dtype=torch.float64
    )
    logits = logits.reshape(batch, classes).requires_grad_()
    labels = torch.tensor([3 * b % classes for b in range(batch)])
    total = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    F.cross_entropy(logits, labels, label_smoothing=smoothing).backward()
    return [float(total), checksum(logits.grad)]


print("static const struct truth by_pytorch[] = {")
for case in CASES:
    shape, sums = run(*case)
    print(
        "    {{UNIT_%s, %s, 0}, {%s}},"
        % (case[0], ", ".join(map(str, shape)), ", ".join("%.15g" % v for v in sums))
    )
print("};\nstatic const struct loss_truth losses_by_pytorch[] = {")
for case in [(10, 0.0), (10, 0.125), (7, 0.25), (2, 0.5)]:
    print("    {%d, %.15g, {%s}}," % (*case, ", ".join("%.15g" % v for v in loss(*case))))
print("};")
