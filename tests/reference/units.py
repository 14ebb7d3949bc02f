#!/usr/bin/python3
"""What PyTorch, in double, makes of one unit: the numbers of by_pytorch[] in test_units.c.

    units.py           prints a line for each unit below

Element i of the weights is cos(0.9 i), of x sin(0.7 i + 0.1), of dy cos(0.5 i + 0.3), counted in
this project's order: convolutions [out][kh][kw][in], images [h][w][c]. A number is the sum of
element i of the result times cos(i).
"""
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(function, factor, shift, count):
    return torch.tensor([function(factor * i + shift) for i in range(count)])


def checksum(v):
    v = v.detach().reshape(-1)
    return float((v * wave(math.cos, 1, 0, len(v))).sum())


def run(name, batch, c, h, w, out, unit, parameters):
    p = wave(math.cos, 0.9, 0, parameters).requires_grad_()
    x = wave(math.sin, 0.7, 0.1, batch * h * w * c).reshape(batch, h, w, c).requires_grad_()
    y = unit(p, x.permute(0, 3, 1, 2))
    if y.dim() == 4:
        y = y.permute(0, 2, 3, 1)
    y.backward(wave(math.cos, 0.5, 0.3, y.numel()).reshape(y.shape))
    g = checksum(p.grad) if p.grad is not None else 0
    sums = checksum(y), checksum(x.grad), g
    print(name, list(y.shape), "y %.15g, dx %.15g, g %.15g" % sums, end="")
    if hasattr(unit, "z"):
        moments = unit.z.mean((0, 2, 3)), unit.z.var((0, 2, 3), unbiased=False)
        print(", mean %.15g, variance %.15g" % tuple(map(checksum, moments)), end="")
    print()


def conv(c, out, k, stride, pad, relu):
    def unit(p, x):
        weight = p[: out * k * k * c].reshape(out, k, k, c).permute(0, 3, 1, 2)
        y = F.conv2d(x, weight, p[out * k * k * c :], stride, pad)
        return F.relu(y) if relu else y
    return unit


def conv_norm(c, out, k, stride, pad):
    def unit(p, x):
        n = out * k * k * c
        weight = p[:n].reshape(out, k, k, c).permute(0, 3, 1, 2)
        unit.z = z = F.conv2d(x, weight, p[n : n + out], stride, pad)
        return F.relu(
            F.batch_norm(z, None, None, p[n + out : n + 2 * out], p[n + 2 * out :], True, eps=1e-5)
        )

    return unit


def group_norm(groups, c):
    def unit(p, x):
        return F.relu(F.group_norm(x, groups, p[:c], p[c:], eps=1e-5))

    return unit


def dense(c, h, w, out, relu):
    def unit(p, x):
        rows = p[: out * h * w * c].reshape(out, h, w, c).permute(0, 3, 1, 2).reshape(out, -1)
        y = F.linear(x.flatten(1), rows, p[out * h * w * c :])
        return F.relu(y) if relu else y
    return unit


run("conv + bias", 2, 3, 6, 5, 4, conv(3, 4, 5, 1, 2, False), 4 * 25 * 3 + 4)
run("conv + bias + ReLU", 2, 2, 7, 6, 5, conv(2, 5, 3, 2, 1, True), 5 * 9 * 2 + 5)
run("dense of an image + ReLU", 3, 4, 2, 3, 5, dense(4, 2, 3, 5, True), 5 * 24 + 5)
run("max pool 2x2", 2, 3, 6, 7, 3, lambda p, x: F.max_pool2d(x, 2, 2), 0)
run("max pool 5x5/3+2", 2, 2, 7, 8, 2, lambda p, x: F.max_pool2d(x, 5, 3, 2), 0)
run("mean pool 5x4 to 3x3", 2, 3, 5, 4, 3, lambda p, x: F.adaptive_avg_pool2d(x, 3), 0)
run("mean pool 2x3 to 7x4", 2, 3, 2, 3, 3, lambda p, x: F.adaptive_avg_pool2d(x, (7, 4)), 0)
run("conv + bias + norm + ReLU", 2, 2, 7, 6, 5, conv_norm(2, 5, 3, 2, 1), 5 * 9 * 2 + 15)
run("group norm + ReLU", 2, 6, 3, 4, 6, group_norm(3, 6), 12)
