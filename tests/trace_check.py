#!/usr/bin/env python3
"""Reads a trace by Python's json, and holds it against the rules of Chrome's trace format.

    tests/trace_check.py FOLDER      trace.json, and ranks.csv, to which its spans must add up

Prints what it has found, "name value" a line. Exit code 1: a rule is broken, and which."""
import csv
import json
import sys
from collections import Counter, defaultdict


def broken(what):
    sys.exit(f"broken: {what}")


def nest(rank, spans):
    """Spans of a thread lie in each other or apart. Returns the seconds that each is itself."""
    open_spans = []
    for s in sorted(spans, key=lambda e: (e["ts"], -e["dur"])):
        while open_spans and open_spans[-1][0] <= s["ts"]:
            open_spans.pop()
        end = round(s["ts"] + s["dur"], 3)
        if open_spans and end > open_spans[-1][0]:
            broken(f"rank {rank}: {s} ends after {open_spans[-1][1]}")
        open_spans.append((end, s))


def flows(events, spans):
    begun = {}
    for e in events:
        if e["ph"] == "s":
            if e["id"] in begun:
                broken(f"flow {e['id']} begins twice")
            begun[e["id"]] = e
    ends = [e for e in events if e["ph"] == "f"]
    if len(ends) != len(begun) or len({e["id"] for e in ends}) != len(ends):
        broken(f"{len(begun)} flows begin, {len(ends)} end")
    for e in ends:
        b = begun.get(e["id"]) or broken(f"flow {e['id']} ends, and has not begun")
        if e["ts"] < b["ts"] or e["bp"] != "e" or (e["cat"], e["name"]) != (b["cat"], b["name"]):
            broken(f"{b} ends as {e}")
        if b["args"]["from"] != b["tid"] or b["args"]["to"] != e["tid"] or b["tid"] == e["tid"]:
            broken(f"{b} goes to {e}")
    for e in list(begun.values()) + ends:
        if not any(s["ts"] <= e["ts"] <= s["ts"] + s["dur"] + 0.001 for s in spans[e["tid"]]):
            broken(f"no span is there to bind {e} to")
    return Counter(b["name"] for b in begun.values())


def sums(spans):
    seconds = Counter()
    for s in spans:
        if s["cat"] == "account":
            brief = s.get("args", {}).get("transfer_us", 0)
            seconds[s["name"]] += (s["dur"] - brief) / 1e6
            seconds["transfer"] += brief / 1e6
    return seconds


def compare(folder, spans, roles, strict):
    """Spans and counters are one account."""
    worst = 0
    with open(folder + "/ranks.csv", encoding="utf-8") as f:
        rows = list(csv.DictReader(line for line in f if not line.startswith("#")))
    for row in rows:
        rank = int(row["rank"])
        if rank not in spans or float(row["clock_s"]) == 0: # it died, and has not counted
            continue
        found = sums(spans[rank])
        off = abs(sum(found.values()) - float(row["clock_s"]))
        if off > 2e-4:
            broken(f"rank {rank}: spans of {sum(found.values()):.6f} s, {row['clock_s']} of clock")
        if rank == 0 and not strict: # where an evaluation sets the clock back, what rank 0 did then
            continue                 # is an evaluation in the trace
        for name in ("compute", "delay", "update", "transfer", "wait", "other"):
            off = abs(found[name] - float(row[name + "_s"]))
            worst = max(worst, off)
            if off > 2e-4:
                broken(f"rank {rank} ({roles[rank]}): {name} {found[name]:.6f} s in the trace, "
                       f"{row[name + '_s']} in ranks.csv")
        aborted = sum(s["dur"] for s in spans[rank] if s.get("args", {}).get("aborted")) / 1e6
        if aborted + 2e-4 < float(row["aborted_s"]):
            broken(f"rank {rank}: {aborted} s of mini-batches that were aborted, "
                   f"{row['aborted_s']} in ranks.csv")
    print("worst_s", f"{worst:.9f}")


def main(folder):
    with open(folder + "/trace.json", encoding="utf-8") as f:
        trace = json.load(f)
    events, said = trace["traceEvents"], trace["otherData"]
    spans, names, counts, last = defaultdict(list), {}, Counter(), 0
    for e in events:
        if e["ph"] not in "MXisf" or not isinstance(e["pid"], int):
            broken(f"{e}")
        if e["ph"] == "M":
            if e["name"] == "thread_name":
                names[e["tid"]] = e["args"]["name"]
            continue
        if e["ts"] < last:
            broken(f"{e} comes after {last}")
        last = e["ts"]
        if e["tid"] not in names or not e["name"] or not e["cat"]:
            broken(f"{e} is of no thread that has a name, or has none")
        if e["ph"] == "X":
            if e["dur"] < 0:
                broken(f"{e}")
            spans[e["tid"]].append(e)
        if e["ph"] == "i" and e["s"] != "t":
            broken(f"{e}")
        counts[e["name"] + ("" if e["ph"] == "X" else "_" + e["ph"])] += 1
    for rank, list_of in spans.items():
        nest(rank, list_of)
    for name, count in flows(events, spans).items():
        print("flow_" + name.replace(" ", "_"), count)
    for name, count in counts.items():
        print(name.replace(" ", "_").replace(",", ""), count)
    print("ranks", len(names))
    print("missing", sum(r["missing"] for r in said["ranks"]))
    print("left_out", said["events_left_out"])
    print("early", said["messages_early"])
    print("error_us", max(r["clock_error_us"] for r in said["ranks"]))
    print("network", said["run"]["network"])
    serves = said["run"]["scheme"] in ("serial", "ssgd", "nbssgd", "asgd")
    done = [(e["tid"], e["args"]["worker"], e["args"]["index"]) for e in events
            if e["name"] == "mini-batch" and e["ph"] == "X"]
    if serves and len(set(done)) != len(done):
        broken("a mini-batch is finished twice")
    if not said["events_left_out"]:
        compare(folder, spans, names, serves)


main(sys.argv[1])
