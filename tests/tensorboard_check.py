#!/usr/bin/env python3
"""Reads event files without TensorBoard, or with it, and compares them with eval.csv.

    tests/tensorboard_check.py FOLDER EVENTS [tensorboard]     EVENTS: the folder of event files

Checks every CRC32C, bit by bit. Exit code 1: a rule is broken, and which; 77: no tensorboard."""
import csv
import glob
import struct
import sys


def broken(what):
    sys.exit(f"broken: {what}")


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    while data:
        length, check = struct.unpack("<QI", data[:12])
        body, end = data[12:12 + length], data[12 + length:16 + length]
        if masked_crc(data[:8]) != check or masked_crc(body) != struct.unpack("<I", end)[0]:
            broken("a CRC")
        yield body
        data = data[16 + length:]


def varint(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = (8, at) if key & 7 == 1 else (4, at) if key & 7 == 5 else varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def read_by_hand(paths):
    points, starts = {}, 0
    for path in paths:
        with open(path, "rb") as f:
            events = [dict(fields(body)) for body in records(f.read())]
        if events[0].get(3) != b"brain.Event:2":
            broken(f"{path} begins with {events[0]}")
        for e in events[1:]:
            if 7 in e: # a start: what was at this step or after it is gone
                starts += 1
                points = {k: v for k, v in points.items() if k[1] < e[2]}
            for _, value in fields(e.get(5, b"")):
                v = dict(fields(value))
                time, = struct.unpack("<d", e[1])
                if (v[1].decode(), e[2]) in points:
                    broken(f"{v[1].decode()} of update {e[2]} twice")
                points[v[1].decode(), e[2]] = struct.unpack("<f", v[2])[0], time
    print("starts", starts)
    return points


def read_by_tensorboard(folder):
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        sys.exit(77)
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    return {(tag, e.step): (e.value, e.wall_time)
            for tag in events.Tags()["scalars"] for e in events.Scalars(tag)}


def main(folder, where, how="by hand"):
    paths = sorted(glob.glob(where + "/events.out.tfevents.*"))
    print("files", len(paths))
    points = read_by_tensorboard(where) if how == "tensorboard" else read_by_hand(paths)
    with open(folder + "/eval.csv", encoding="utf-8") as f:
        rows = list(csv.DictReader(line for line in f if not line.startswith("#")))
    start = None
    for row in rows:
        for name in ("top1", "top5", "loss", "weight_norm", "samples", "epoch"):
            value, time = points.get(("evaluation/" + name, int(row["updates"]))) or broken(
                f"no {name} of update {row['updates']}")
            if abs(value - float(row[name])) > 1e-4 + 1e-5 * abs(value):
                broken(f"{name} {value}, {row[name]} in eval.csv")
            if len(paths) == 1:
                start = start or time - float(row["seconds"])
                if abs(time - start - float(row["seconds"])) > 1e-3:
                    broken(f"{row} is at {time - start} s")
    print("evaluations", sum(k[0] == "evaluation/top1" for k in points) - len(
        {row["updates"] for row in rows}))
    for tag in sorted({k[0] for k in points}):
        print(tag, sum(k[0] == tag for k in points))


main(*sys.argv[1:])
