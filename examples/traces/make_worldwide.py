#!/usr/bin/env python3
"""Makes worldwide.csv.gz, the demo's load trace, from public measurements. README.md beside it names sources and licences.

usage: make_worldwide.py DATA_DIR OUT.csv.gz        (Python 3.9 or later, numpy)

The rule (it looks at nothing after the first 14 days):
  * 26 days of 5-minute steps; step 0 is the first 00:00 UTC a source has, except WorldCup98, which starts on 1998-05-20
    (before that the site was hardly known; the cup itself opens on day 21).
  * of the two web sites, the five tweet series and all BitBrains virtual machines (CPU), every series that
      - lacks less than 5 % of its steps (the virtual machines lack 4 % as a whole; gaps are interpolated linearly),
      - has 50 MHz or more on average over the first 14 days, if it is a virtual machine: below that, rounding shows,
      - has a daily rhythm: over the first 14 days the hour of the day explains 30 % or more of the variance of its hourly means.
  * values stay in their source's own unit, as integers: whoever reads them scales each series by its mean.
"""
import bz2, calendar, csv, gzip, io, lzma, os, sys, time
import numpy as np

DAY, DAYS, HISTORY_DAYS = 288, 26, 14
STEPS = DAYS * DAY
MIN_SEASONALITY = 0.3


def epoch(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def midnight_after(seconds):
    return -(-seconds // 86400) * 86400


def five_minutes(first, times, values):
    """Sums values into STEPS bins of 300 s from `first` on."""
    bins = (np.asarray(times) - first) // 300
    inside = (bins >= 0) & (bins < STEPS)
    return np.bincount(bins[inside], weights=np.asarray(values, float)[inside], minlength=STEPS)


def filled(y):
    """Linear interpolation over missing (negative) steps."""
    steps, known = np.arange(len(y)), y >= 0
    return np.interp(steps, steps[known], y[known])


def seasonality(y):
    """Share of the variance of hourly means over the first 14 days that the hour of the day explains."""
    hours = y[: HISTORY_DAYS * DAY].reshape(-1, 12).mean(1).reshape(HISTORY_DAYS, 24)
    return 1 - ((hours - hours.mean(0)) ** 2).sum() / ((hours - hours.mean()) ** 2).sum()


def web(folder):
    with gzip.open(os.path.join(folder, "wc98_per_minute.csv.gz"), "rt") as f:
        rows = list(csv.DictReader(f))
    first = epoch("1998-05-20 00:00:00")
    yield "wc98", five_minutes(first, [epoch(r["period"]) for r in rows], [float(r["count"]) for r in rows])
    with bz2.open(os.path.join(folder, "nasa_jul95_req_per_second.txt.bz2"), "rt") as f:
        per_second = np.array(f.read().split(), float)
    start = epoch("1995-07-01 04:00:01")  # 00:00:01 -0400
    times = start + np.arange(len(per_second))
    yield "nasa_jul95", five_minutes(midnight_after(start), times, per_second)


def tweets(folder):
    for ticker in ("AAPL", "CRM", "FB", "IBM", "PFE"):
        with gzip.open(os.path.join(folder, "nab", f"Twitter_volume_{ticker}.csv.gz"), "rt") as f:
            rows = list(csv.DictReader(f))
        times = [epoch(r["timestamp"]) for r in rows]
        yield f"tweets_{ticker}", five_minutes(midnight_after(times[0]), times, [float(r["value"]) for r in rows])


def virtual_machines(folder):
    with lzma.open(os.path.join(folder, "bitbrains_rnd_public.npy2.xz")) as f:
        raw = io.BytesIO(f.read())
    ids, columns = np.load(raw), np.load(raw)
    skip = 2 * 12  # the first sample is of 22:00 UTC
    for vm, cpu in zip(ids, columns[:, 0, skip : skip + STEPS].astype(float)):
        if (cpu < 0).mean() < 0.05:
            y = filled(cpu)
            if y[: HISTORY_DAYS * DAY].mean() >= 50:
                yield f"vm{vm}_cpu", y


def main(data, out):
    folder = os.path.join(data, "series")
    candidates = [*web(folder), *tweets(folder), *virtual_machines(folder)]
    series = [(name, y) for name, y in candidates if seasonality(y) >= MIN_SEASONALITY]
    table = np.rint(np.stack([y for _, y in series], 1)).astype(int)
    text = ",".join(name for name, _ in series) + "\n" + "\n".join(",".join(map(str, row)) for row in table) + "\n"
    with open(out, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:  # no name, no time: the same bytes each run
        z.write(text.encode())
    for name, y in series:
        print(f"{name:12s} mean {y.mean():10.1f}  seasonality {seasonality(y):.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
