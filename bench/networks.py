"""Networks in PyTorch, the peers of ours.

The ResNets are those of He et al. (2016) with the stride in the 3x3 convolution, as torchvision has
them; resnet20 .. resnet110 are the small ones of its section 4.2 with shortcuts without parameters
(option A).
"""

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
