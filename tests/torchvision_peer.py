"""What torchvision's ResNet computes from weights that nbsgd has written.

torchvision_peer.py NETWORK FILE [FILE ...] --images BATCH.bin --count N

Each file is loaded with strict=True into torchvision's network of that name. Prints of the last
one the mean cross-entropy and the right answers of the first N images, as an evaluation has them.
"""

import argparse
import json
import struct

import torch
import torchvision

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TYPES = {"F32": torch.float32, "I64": torch.int64}


def tensors(path):
    """Of a safetensors file, by name."""
    with open(path, "rb") as file:
        everything = bytearray(file.read())
    (length,) = struct.unpack("<Q", everything[:8])
    header = json.loads(bytes(everything[8 : 8 + length]))
    header.pop("__metadata__", None)
    found = {}
    for name, what in header.items():
        begin, end = what["data_offsets"]
        data = everything[8 + length + begin : 8 + length + end]
        found[name] = torch.frombuffer(data, dtype=TYPES[what["dtype"]]).reshape(what["shape"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, required=True)
    words = parser.parse_args()
    torch.set_num_threads(1)
    net = getattr(torchvision.models, words.network)(weights=None, num_classes=10)
    for path in words.files:
        net.load_state_dict(tensors(path), strict=True)
    net.eval()
    with open(words.images, "rb") as file:
        records = torch.frombuffer(bytearray(file.read(3073 * words.count)), dtype=torch.uint8)
    records = records.reshape(words.count, 3073)
    labels = records[:, 0].long()
    images = records[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    with torch.no_grad():
        logits = net(images)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    print("%.6f %d" % (loss, (logits.argmax(1) == labels).sum()))


main()
