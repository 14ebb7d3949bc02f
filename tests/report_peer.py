"""Recomputes the numbers of a report from the study's own rows: report_peer.py DIR

With the standard library; with scipy, where it is there, the same again by its functions. Prints
what differs, then "scipy" or "no scipy"; exit code 1 where something does.
"""
import csv
import json
import math
import statistics
import sys

folder = sys.argv[1]
try:
    import numpy
    import scipy.stats
except ImportError:
    scipy = None


def rows(name):
    with open(f"{folder}/{name}") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


cells = [r for r in rows("study.csv") if r["status"] in ("done", "diverged")]
report = rows("report.csv")
targets = (60, 70)
wrong = []


def found(measure, case, setting, other="", target=""):
    keys = dict(measure=measure, case=case, setting=setting, other=other, target=str(target))
    fit = [r for r in report if all(r[k] == v for k, v in keys.items())]
    if len(fit) != 1:
        wrong.append(f"{len(fit)} rows of {keys}")
        return {}
    return fit[0]


def hold(what, row, key, wanted, tolerance=1e-6):
    is_it = float(row.get(key) or "nan")
    if is_it != wanted and not abs(is_it - wanted) <= tolerance * (1 + abs(wanted)):
        wrong.append(f"{what}: {key} is {is_it}, not {wanted}")


def values(case, setting, key):
    return {r["seed"]: float(r[key]) for r in cells if (r["case"], r["setting"]) == (case, setting)}


def at_most(k, n):
    if scipy:
        return scipy.stats.binom.cdf(k, n, 0.5)
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


def median(what, row, numbers):
    numbers = sorted(numbers)
    n = len(numbers)
    k = max([k for k in range(1, n // 2 + 1) if 2 * at_most(k - 1, n) <= 0.05], default=1)
    hold(what, row, "value", float(numpy.median(numbers)) if scipy else statistics.median(numbers))
    hold(what, row, "low", numbers[k - 1])
    hold(what, row, "high", numbers[n - k])
    hold(what, row, "coverage", 1 - 2 * at_most(k - 1, n))


def pairs(case, a, b, target):
    x, y = (values(case, s, f"tta_{target}") for s in (a, b))
    both = [(x[s], y[s]) for s in x if s in y]
    before, after = (sum(f(p, q) for p, q in both) for f in (float.__lt__, float.__gt__))
    what = f"{a} before {b} in {case}, {target}"
    row = found("probability_before", case, a, b, target)
    hold(what, row, "value", (before + (len(both) - before - after) / 2) / len(both))
    hold(what, row, "count", before)
    sign = min(1, 2 * at_most(min(before, after), before + after))
    if scipy and before + after:
        sign = scipy.stats.binomtest(before, before + after).pvalue
    hold(what, row, "sign_p", sign)
    logs = [math.log(p) - math.log(q) for p, q in both if min(p, q) < math.inf]
    row = found("time_ratio", case, a, b, target)
    hold(what, row, "value", math.exp(statistics.median(logs)))
    if scipy and all(map(math.isfinite, logs)):
        drawn = scipy.stats.bootstrap((logs,), numpy.median, method="percentile",
                                      n_resamples=20000, random_state=1).confidence_interval
        hold(what, row, "low", math.exp(drawn.low), 0.01)
        hold(what, row, "high", math.exp(drawn.high), 0.01)


def middle_half(numbers):
    if scipy:
        return scipy.stats.trim_mean(numbers, 0.25)
    cut = len(numbers) // 4
    return statistics.mean(sorted(numbers)[cut:len(numbers) - cut])


cases, settings = (list(dict.fromkeys(r[k] for r in cells)) for k in ("case", "setting"))
for case in cases:
    for setting in settings:
        for target in targets:
            times = values(case, setting, f"tta_{target}").values()
            row = found("tta", case, setting, "", target)
            median(f"{case} {setting} {target}", row, times)
            hold("reached", row, "count", sum(map(math.isfinite, times)))
            hold("of all", row, "of", len(times))
            if setting != "ssgd":
                pairs(case, setting, "ssgd", target)
        median(f"top-1 {case} {setting}", found("top1", case, setting),
               values(case, setting, "top1").values())
for setting in settings:
    scores = [v for case in cases for v in values(case, setting, "top1").values()]
    row = found("top1_iqm", "", setting)
    hold("iqm", row, "value", middle_half(scores))
    if not float(row["low"]) < float(row["value"]) < float(row["high"]):
        wrong.append(f"{setting}: the interval of the mean is not around it")
for target in targets:
    best = [min(statistics.median(values(c, s, f"tta_{target}").values()) for s in settings)
            for c in cases]
    for setting in settings:
        ratio = [statistics.median(values(c, setting, f"tta_{target}").values()) / b
                 for c, b in zip(cases, best)]
        for row in report:
            if (row["measure"], row["setting"]) == ("profile", setting) and \
                    row["target"] == str(target):
                within = [r <= float(row["at"]) for r in ratio]
                hold("profile", row, "value", sum(within) / len(within))
        hold("ratio", found("ratio_to_best", "", setting, "", target), "value",
             statistics.geometric_mean(ratio))

# JSON has the same numbers.
numbers = json.load(open(f"{folder}/report.json"))["numbers"]
if [(n["measure"], n["value"]) for n in numbers if n["value"] is None]:
    wrong.append("a number of report.json is null")
if [float(n["value"]) for n in numbers] != [float(r["value"]) for r in report]:
    wrong.append("report.json and report.csv differ")
print("\n".join(wrong))
print("scipy" if scipy else "no scipy")
sys.exit(bool(wrong))
