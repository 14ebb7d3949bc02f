#!/usr/bin/python3
"""The other side of the weight files: torchvision's networks, and safetensors read and written by
struct, json and numpy.

    weights.py write FOLDER
        writes CASE.safetensors of each case, random weights and statistics, and CASE.truth: images
        (float32, NHWC), and the loss of each image for each label (float64), in eval mode
    weights.py check FOLDER
        CASE.saved.safetensors, which we have written from what we read of the first: torchvision
        loads it, it has the same tensors bit for bit, in the order of torchvision's state_dict

Exits with 77 where torchvision is missing.
"""

import json
import math
import struct
import sys

try:
    import numpy
    import torch
    import torchvision
except ImportError as missing:
    print("%s: there is no %s for %s" % (sys.argv[0], missing.name, sys.executable))
    sys.exit(77)

IMAGES, CLASSES, HIDDEN = 2, 10, 64  # HIDDEN: of VGG, whose 4,096 would take half a gigabyte
CASES = {  # the network, the side of its images
    "resnet18": ("resnet18", 32),
    "resnet50": ("resnet50", 32),
    "resnet18-28": ("resnet18", 28),
    "resnet50-224": ("resnet50", 224),
    "vgg11": ("vgg11", 32),
    "vgg16_bn": ("vgg16_bn", 40),
}
TYPES = {"F32": numpy.float32, "I64": numpy.int64}


def write(path, tensors):
    header, data = {"__metadata__": {"written by": 'weights.py \u2014 "numpy"'}}, b""
    for name in sorted(tensors):
        array = tensors[name]
        kind = next(k for k, t in TYPES.items() if array.dtype == t)
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read(path, ours):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    end = 0
    for entry in sorted(
        header.values(), key=lambda e: e["data_offsets"]
    ):  # as the format wants it: no gap, no overlap, no rest
        assert entry["data_offsets"][0] == end, entry
        end = entry["data_offsets"][1]
    assert end == len(data)
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        if ours:
            assert (8 + length + first) % numpy.dtype(TYPES[entry["dtype"]]).itemsize == 0, (
                name + " is not aligned"
            )
        arrays[name] = numpy.frombuffer(data[first:last], TYPES[entry["dtype"]]).reshape(
            entry["shape"]
        )
    return arrays


def network(case):
    """Without values."""
    with torch.device("meta"):
        model = getattr(torchvision.models, CASES[case][0])(weights=None, num_classes=CLASSES)
        if hasattr(model, "classifier"):
            for place, (inputs, outputs) in {
                0: (512 * 49, HIDDEN),
                3: (HIDDEN, HIDDEN),
                6: (HIDDEN, CLASSES),
            }.items():
                model.classifier[place] = torch.nn.Linear(inputs, outputs)
    return model.to_empty(device="cpu").eval()


def randomised(model, generator):
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(12345)
        elif tensor.dim() == 1 and name.endswith("weight"):
            tensor.uniform_(0.6, 1.2, generator=generator)
        elif tensor.dim() == 1:
            tensor.normal_(0.0, 0.1, generator=generator)
        else:
            tensor.normal_(0.0, math.sqrt(2 / tensor[0].numel()), generator=generator)
    return model


def write_all(folder):
    for name, (_, side) in CASES.items():
        generator = torch.Generator().manual_seed(2)
        model = randomised(network(name), generator)
        write(
            "%s/%s.safetensors" % (folder, name),
            {k: v.numpy() for k, v in model.state_dict().items()},
        )
        images = torch.randn(IMAGES, 3, side, side, generator=generator)
        with torch.no_grad():
            losses = -torch.log_softmax(model.double()(images.double()), 1)
        with open("%s/%s.truth" % (folder, name), "wb") as file:
            file.write(
                images.permute(0, 2, 3, 1).contiguous().numpy().tobytes() + losses.numpy().tobytes()
            )


def check_all(folder):
    for name in CASES:
        first = read("%s/%s.safetensors" % (folder, name), False)
        saved = read("%s/%s.saved.safetensors" % (folder, name), True)
        model = network(name)
        assert list(saved) == list(model.state_dict()), "the order of the tensors"
        model.load_state_dict(
            {k: torch.from_numpy(v.copy()) for k, v in saved.items()}, strict=True
        )
        for key, array in saved.items():
            if key.endswith("num_batches_tracked"):
                assert array.shape == () and array == 0, key
            else:
                assert (
                    array.tobytes() == first[key].tobytes() and array.shape == first[key].shape
                ), key
        print(
            "%s: %d tensors, %d floats"
            % (name, len(saved), sum(a.size for a in saved.values() if a.dtype == numpy.float32))
        )


{"write": write_all, "check": check_all}[sys.argv[1]](sys.argv[2])
