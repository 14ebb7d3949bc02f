#!/usr/bin/python3
"""Writes optimizer.txt beside itself: what PyTorch's optimizers make of ten weights in five steps.

A case is a line `case RULE momentum decay beta1 beta2 epsilon`, the first weights, and for each
step a line `step RATE`, the gradient and the weights after it. Weights 3 and 4 are spared by weight
decay (a parameter group of their own).
"""

import os
import torch

WEIGHTS, STEPS, SPARED = 10, 5, slice(3, 5)
RATES = [1.0, 1.0, 0.5, 2.0, 0.1]


def cases():
    for decay in (0.0, 0.05):
        yield "sgd", 0.0, decay, 0.1
        yield "sgd", 0.9, decay, 0.1
        yield "nesterov", 0.9, decay, 0.1
        yield "adam", 0.0, decay, 0.01
        yield "adamw", 0.0, decay, 0.01
        yield "adagrad", 0.0, decay, 0.1


def optimizer(rule, groups, momentum, beta1, beta2, epsilon):
    if rule in ("sgd", "nesterov"):
        return torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=rule == "nesterov")
    if rule == "adagrad":
        return torch.optim.Adagrad(groups, lr=1.0, eps=epsilon)
    kind = torch.optim.Adam if rule == "adam" else torch.optim.AdamW
    return kind(groups, lr=1.0, betas=(beta1, beta2), eps=epsilon)


def line(values):
    return " ".join("%.9g" % v for v in values)


def whole(spared, rest):
    v = torch.empty(WEIGHTS)
    mask = torch.zeros(WEIGHTS, dtype=torch.bool)
    mask[SPARED] = True
    v[mask], v[~mask] = spared, rest
    return v.tolist()


def main():
    torch.manual_seed(1)
    mask = torch.zeros(WEIGHTS, dtype=torch.bool)
    mask[SPARED] = True
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizer.txt")
    with open(path, "w") as out:
        print("# PyTorch %s, written by optimizer.py" % torch.__version__, file=out)
        for number, (rule, momentum, decay, rate) in enumerate(cases()):
            beta1, beta2, epsilon = 0.9, 0.99, 1e-10 if rule == "adagrad" else 1e-8
            w = torch.randn(WEIGHTS)
            spared, rest = w[mask].clone().requires_grad_(), w[~mask].clone().requires_grad_()
            groups = [
                {"params": [spared], "weight_decay": 0.0},
                {"params": [rest], "weight_decay": decay},
            ]
            rule_of_torch = optimizer(rule, groups, momentum, beta1, beta2, epsilon)
            print("case", rule, line([momentum, decay, beta1, beta2, epsilon]), file=out)
            print(line(w.tolist()), file=out)
            for step in range(STEPS):
                g = torch.randn(WEIGHTS) * 10.0 ** (step - 2)
                spared.grad, rest.grad = g[mask].clone(), g[~mask].clone()
                for group in rule_of_torch.param_groups:
                    group["lr"] = rate * RATES[step]
                rule_of_torch.step()
                print("step %.9g" % (rate * RATES[step]), file=out)
                print(line(g.tolist()), file=out)
                print(line(whole(spared.detach(), rest.detach())), file=out)


main()
