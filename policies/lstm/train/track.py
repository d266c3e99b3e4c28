#!/usr/bin/env python3
"""Forecasts of a track by networks as trained, in the scorer's format: what the Rust guest must reproduce.

usage: track.py TRACK.jsonl.gz OUT.jsonl TRAINED.pt...
"""
import gzip, json, sys
import numpy as np
import torch
from features import HISTORY_DAYS, MAX_HISTORY, Store, context, peaks, targets
from network import LEVELS, Network
from windows import day_steps


PEAK_WINDOWS = (12, 48, 288)


def forecast(nets, store, s, t, horizon):
    """Quantiles [H, Q] in the series' own units, and of the maximum over the first steps {n: [Q]}; and what the network was shown."""
    s, t = np.array([s]), np.array([t])
    low = np.maximum(t - np.minimum(HISTORY_DAYS * store.day[s], MAX_HISTORY), 0)
    h = np.arange(1, horizon + 1)[None]
    centre, unit, seq, once, now = context(store, s, low, t)
    step, anchors = targets(store, s, low, t, h, centre, unit, now)
    f = lambda x: torch.from_numpy(np.asarray(x, np.float32))
    back = lambda q: np.maximum(np.sinh(q.double().numpy()) * unit[0] + centre[0], 0)
    with torch.no_grad():
        paths, tops = [], {n: [] for n in PEAK_WINDOWS if n <= horizon}
        for net in nets:
            q = net(f(seq), f(once), f(step), f(anchors))
            shared = net.context(f(seq), f(once))
            for n, top in tops.items():
                top.append(net.peak(shared, *map(f, peaks(step, q.numpy(), np.array([n]), store.day[s])))[0])
            paths.append(q[0])
        mean = lambda answers: back(torch.stack(answers).mean(0))
        top = {n: mean(answers) for n, answers in tops.items()}
    return mean(paths), top, dict(centre=centre[0], unit=unit[0], seq=seq[0], once=once[0], step=step[0], anchors=anchors[0])


def restored(path):
    saved = torch.load(path, weights_only=True)
    net = Network(**saved["shape"])
    net.load_state_dict(saved["weights"])
    return net.eval()


def main():
    nets = [restored(path) for path in sys.argv[3:]]
    with gzip.open(sys.argv[1], "rt") as f, open(sys.argv[2], "w") as out:
        for row in map(json.loads, f):
            store = Store([row["y"]], [day_steps(row["step_s"])])
            for origin in row["origins"]:
                q, top, _ = forecast(nets, store, 0, origin, max(row["horizons"]))
                lines = {str(level): [float(f"{v:.6g}") for v in q[:, i]] for i, level in enumerate(LEVELS) if level in (0.05, 0.5, 0.9, 0.95, 0.99)}
                out.write(json.dumps({"id": row["id"], "origin": origin, "q": lines,
                                      "peak": {str(n): {"0.95": float(f"{v[LEVELS.index(0.95)]:.6g}")} for n, v in top.items()}}) + "\n")


if __name__ == "__main__":
    main()
