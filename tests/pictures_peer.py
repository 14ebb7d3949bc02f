"""ResNet-50 at 224 pixels on class folders, by torchvision: reader, transforms and network.

pictures_peer.py FOLDER WEIGHTS

Writes weights into a safetensors file, and prints what torchvision makes of the pictures in
FOLDER/CLASS/ with them: the mean cross-entropy, how many are right, how many have their class among
the first five, how many there are.

There are no pretrained weights here. The convolutions' are random, the norms' statistics are those
of the first pictures, and the dense layer is fitted to every second picture: half of them are told
apart, the others are not. Exits with 77 where torchvision is missing.
"""

import json
import struct
import sys

try:
    import torch
    import torchvision
    from torchvision import transforms
except ImportError as missing:
    print("%s: there is no %s for %s" % (sys.argv[0], missing.name, sys.executable))
    sys.exit(77)

SHORT_SIDE, SIDE, BATCH, RIDGE, SCALE = 256, 224, 16, 0.01, 10.0
TYPES = {torch.float32: "F32", torch.int64: "I64"}


def pictures(folder):
    """A loader of them, as torchvision's own networks want them, and how many classes there are."""
    judged = transforms.Compose(
        [
            transforms.Resize(SHORT_SIDE),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    files = torchvision.datasets.ImageFolder(folder, judged)
    return torch.utils.data.DataLoader(files, batch_size=BATCH), len(files.classes)


def set_statistics(net, loader):
    """Of the first batch."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    net.train()
    net(next(iter(loader))[0])
    net.eval()


def fit(head, features, labels):
    """Ridge regression of every second picture."""
    wanted = torch.nn.functional.one_hot(labels, head.out_features)[::2].double()
    seen = features[::2].double()
    mean, middle = seen.mean(0), wanted.mean(0)
    kernel = (seen - mean) @ (seen - mean).T
    kernel += RIDGE * kernel.diagonal().mean() * torch.eye(len(kernel))
    weights = (seen - mean).T @ torch.linalg.solve(kernel, wanted - middle)
    head.weight.copy_(SCALE * weights.T)
    head.bias.copy_(SCALE * (middle - mean @ weights))


def save(path, tensors):
    header, data = {}, []
    at = 0
    for name, tensor in tensors.items():
        part = tensor.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(part)],
        }
        at += len(part)
        data.append(part)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(data)


def main():
    folder, weights = sys.argv[1:]
    torch.manual_seed(1)
    loader, classes = pictures(folder)
    net = torchvision.models.resnet50(weights=None)
    net.fc, head = torch.nn.Identity(), torch.nn.Linear(net.fc.in_features, classes)
    with torch.no_grad():
        set_statistics(net, loader)
        found = [(net(images), labels) for images, labels in loader]
        features, labels = (torch.cat(part) for part in zip(*found))
        fit(head, features, labels)
        net.fc = head
        save(weights, net.state_dict())
        logits = head(features).double()
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    best = logits.topk(5).indices == labels[:, None]
    print("%.7f %d %d %d" % (loss, best[:, 0].sum(), best.any(1).sum(), len(labels)))


main()
