"""The series to train on, each cut before the first moment any evaluation track asks about.

`load(folder)` gives a list of `Series`: values in steps of `step_s`, NaN where missing.

| source | kept | why |
|---|---|---|
| BitBrains VMs (CPU, disk reads, disk writes) | the first 8 392 steps of 5 minutes | tracks' first origin, at any VM |
| World Cup 98 | until 8 392 steps after 1998-05-20 | the same |
| NASA, July | the first 6 250 steps | the same |
| tweets | the first 8 392 steps | the same |
| Google 2019 | the first 6 376 steps | the same, all four columns |
| CloudPhysics | the first 230 steps of 30 minutes | the earliest first origin of any VM |
| NAB (AWS, taxi), Alibaba 2018, M4 hourly | all | in no track |
"""
import bz2, csv, glob, gzip, hashlib, io, lzma, os
from dataclasses import dataclass
import numpy as np

BITBRAINS_STEPS = 8392
WC98_TRACK_START_MINUTES = 27510  # 1998-04-30 21:30 to 1998-05-20 00:00
NASA_STEPS = 6250
TWEETS_STEPS = 8392
GOOGLE_STEPS = 6376
CLOUDPHYSICS_STEPS = 230


@dataclass
class Series:
    name: str
    kind: str  # what weighs in sampling
    step_s: int
    y: np.ndarray
    held_out: bool  # whole series kept aside while choosing


def held_out(key):
    """One key (VM, ticker, series) in five."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 5 == 0


def column(path, index=1):
    with gzip.open(path, "rt") as f:
        rows = list(csv.reader(f))[1:]
    return np.array([float(r[index]) if r[index] else np.nan for r in rows], np.float64)


def means(y, n):
    """Means of n steps; NaN where more than half is missing."""
    m = len(y) // n
    block = np.asarray(y[: m * n], np.float64).reshape(m, n)
    known = np.isfinite(block)
    count = known.sum(1)
    total = np.where(known, block, 0).sum(1)
    return np.where(count * 2 >= n, total / np.maximum(count, 1), np.nan)


def interpolated(y):
    known = np.isfinite(y)
    return np.interp(np.arange(len(y)), np.flatnonzero(known), y[known]) if known.any() else np.zeros(len(y))


def load(folder, rng, sums=150, mixtures=400):
    out = []
    add = lambda name, kind, step, y, aside: out.append(Series(name, kind, step, np.asarray(y, np.float32), aside))
    # Virtual machines, and shards of them.
    f = io.BytesIO(lzma.open(f"{folder}/bitbrains_rnd_public.npy2.xz").read())
    ids, loads = np.load(f), np.load(f)
    loads = loads[:, :, :BITBRAINS_STEPS].astype(np.float64)
    loads[loads < 0] = np.nan
    for j, metric in enumerate(("cpu", "dread", "dwrite")):
        filled = np.array([interpolated(loads[i, j]) for i in range(len(ids))])
        aside = np.array([held_out(f"vm{i}") for i in ids])
        for i, vm in enumerate(ids):
            if np.isfinite(loads[i, j]).mean() > 0.5 and filled[i].std() > 0:
                # Half as tracks have them, half with their gaps.
                y = filled[i] if vm % 2 else loads[i, j]
                add(f"vm{vm}_{metric}", f"vm_{metric}", 300, y, bool(aside[i]))
        for part, group, n in (("train", np.flatnonzero(~aside), sums), ("aside", np.flatnonzero(aside), sums // 4)):
            for k in range(n):
                size = int(np.exp(rng.uniform(np.log(2), np.log(24))))
                pick = rng.choice(group, min(size, len(group)), replace=False)
                add(f"sum_{part}{k}_{metric}", f"sum_{metric}", 300, filled[pick].sum(0), part == "aside")
    # Web.
    wc = column(f"{folder}/wc98_per_minute.csv.gz")[: WC98_TRACK_START_MINUTES + 5 * BITBRAINS_STEPS]
    add("wc98", "web", 300, 5 * means(wc, 5), False)
    add("wc98_60s", "fine", 60, wc, False)
    nasa = np.array([int(l) for l in bz2.open(f"{folder}/nasa_jul95_req_per_second.txt.bz2", "rt")][: NASA_STEPS * 300], float)
    add("nasa", "web", 300, 300 * means(nasa, 300), False)
    for step in (10, 60):
        add(f"nasa_{step}s", "fine", step, step * means(nasa, step), False)
    # Tweets, and what NAB has beside.
    for path in sorted(glob.glob(f"{folder}/nab/*.csv.gz")):
        name = os.path.basename(path)[:-7]
        y = column(path)
        if name.startswith("Twitter"):
            add(name, "tweets", 300, y[:TWEETS_STEPS], name.endswith("PFE"))
        elif name == "nyc_taxi":
            add(name, "taxi", 1800, y, True)
        else:
            add(name, "aws", 300, y, held_out(name))
    # Clusters.
    for j, metric in enumerate(("cpu", "mem", "assigned", "cpi")):
        add(f"google_{metric}", "cluster", 300, column(f"{folder}/google2019_300s.csv.gz", j)[:GOOGLE_STEPS], metric == "cpi")
    for j, metric in enumerate(("cpu", "mem", "net_in", "net_out", "disk")):
        y = column(f"{folder}/alibaba2018_machine_usage_10s.csv.gz", j)
        for step in (10, 60, 300):
            add(f"alibaba_{metric}_{step}s", "fine" if step < 300 else "cluster", step, means(y, step // 10), metric == "net_out")
    # Block I/O of a week.
    z = np.load(f"{folder}/cloudphysics_30min_public.npz")
    for vm in z.files:
        for j, metric in enumerate(("reads", "writes", "read_bytes", "write_bytes")):
            add(f"{vm}_{metric}", "block", 1800, z[vm][:CLOUDPHYSICS_STEPS, j], held_out(vm))
    # Hourly, of any kind.
    with gzip.open(f"{folder}/m4_hourly_train.csv.gz", "rt") as f:
        for row in list(csv.reader(f))[1:]:
            add(f"m4_{row[0]}", "m4", 3600, [float(v) for v in row[1:] if v], held_out(row[0]))
    # Mixtures of anything, each part from a moment of its own: shards nobody has seen.
    fives = {aside: [s for s in out if s.step_s == 300 and s.held_out == aside and not s.name.startswith("sum_")] for aside in (False, True)}
    for aside, n in ((False, mixtures), (True, mixtures // 8)):
        for k in range(n):
            length = int(288 * rng.uniform(10, 25))
            parts = [s for s in (fives[aside][i] for i in rng.choice(len(fives[aside]), int(rng.integers(2, 7)), replace=False)) if len(s.y) > length]
            if len(parts) < 2:
                continue
            y = np.zeros(length)
            for s in parts:
                at = rng.integers(0, len(s.y) - length)
                part = interpolated(s.y[at: at + length])
                y += part / max(part.mean(), 1e-9) * np.exp(rng.normal(0, 1))
            add(f"mixture{k}", "mixture", 300, 1000 * y, aside)
    # Coarser views of the same.
    for s in list(out):
        if s.step_s == 300:
            for step in (600, 900, 1800, 3600):
                add(f"{s.name}_{step}s", s.kind + f"_{step}s", step, means(s.y, step // 300), s.held_out)
        elif s.step_s == 1800:
            add(f"{s.name}_3600s", s.kind + "_3600s", 3600, means(s.y, 2), s.held_out)
    return out


def weight(kind):
    """How often a kind is drawn."""
    base, _, step = kind.rpartition("_") if kind.endswith("00s") else (kind, "", "300s")
    w = {
        "vm_cpu": 4, "vm_dread": 1.5, "vm_dwrite": 3, "sum_cpu": 3, "sum_dread": 1.5, "sum_dwrite": 2.5,
        "web": 1.5, "tweets": 2.5, "aws": 1.5, "cluster": 1, "fine": 0.6, "block": 3, "m4": 0.8, "taxi": 0.3, "mixture": 3,
    }[base]
    return w * {"300s": 1.0, "600s": 0.06, "900s": 0.08, "1800s": 0.2, "3600s": 0.4}[step]
