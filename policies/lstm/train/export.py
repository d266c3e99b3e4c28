#!/usr/bin/env python3
"""Writes trained networks as the guest reads it, and forecasts for the guest's tests to compare with.

usage: export.py WEIGHTS.bin VECTORS.json TRAINED.pt...

The file: magic, format, sizes, then IEEE half precision numbers, little-endian, then FNV-1a (64 bits) of all before. See src/weights.rs.
"""
import json, struct, sys
import numpy as np
import torch
from features import Store
from network import LEVELS
from track import forecast, restored

MAGIC, FORMAT, MOST_BYTES = b"ISOBLSTM", 3, 200_000


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def rounded(net):
    """The network with its numbers as the file has them."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            assert tensor.abs().max() < 60000, "a weight too large for half precision"
            tensor.copy_(tensor.half().float())
        # The guest has one bias for each gate.
        total = (net.lstm.bias_ih_l0 + net.lstm.bias_hh_l0).half().float()
        net.lstm.bias_ih_l0.copy_(total)
        net.lstm.bias_hh_l0.zero_()
    return net


def tensors(net):
    w = net.state_dict()
    dense = lambda name: [w[name + ".weight"].T, w[name + ".bias"] if name + ".bias" in w else torch.zeros(len(w[name + ".weight"]))]
    out = [w[f"{n}_{k}"] for n in ("once", "step", "peak") for k in ("mean", "scale")]
    out += [torch.cat([w["lstm.weight_ih_l0"], w["lstm.weight_hh_l0"]], 1).T, w["lstm.bias_ih_l0"]]
    for name in ("shared", "step", "second", "out", "peak_first", "peak_out"):
        out += dense(name)
    return out


def packed(nets):
    s = nets[0].shape
    assert all(net.shape == s for net in nets), "networks of one shape"
    sizes = [s["seq"], s["once"], s["step"], s["anchors"], s["peak"], s["peak_anchors"], len(LEVELS), s["hidden"], s["first"], s["second"], s["peak_hidden"], len(nets)]
    data = MAGIC + struct.pack(f"<{1 + len(sizes)}H", FORMAT, *sizes)
    data += b"".join(t.contiguous().numpy().astype("<f2").tobytes() for net in nets for t in tensors(net))
    return data + struct.pack("<Q", fnv1a(data))


def histories():
    """Made-up loads of each sort that the tests go through: (name, steps a day, values)."""
    rng = np.random.default_rng(7)
    wave = lambda n, d: 100 + 60 * np.sin(np.arange(n) / d * 2 * np.pi)
    hourly = wave(24 * 30, 24) + rng.normal(0, 5, 720)
    hourly[200:215] = np.nan
    five = np.where(rng.random(288 * 9) < 0.02, 500.0, 3.0) + rng.random(288 * 9)
    half = np.exp(rng.normal(5, 1, 300))
    yield "hours with a gap", 24, hourly
    yield "bursts of five minutes", 288, five
    yield "a week of half-hours", 48, half
    yield "seven steps", 288, np.array([4.0, 5, 4, np.nan, 6, 5, 7])
    yield "idle", 24, np.zeros(100)
    yield "great and constant", 24, np.full(60, 1e9)
    yield "minutes", 1440, wave(3000, 1440) + rng.normal(0, 3, 3000)


def main():
    nets = [rounded(restored(path)) for path in sys.argv[3:]]
    data = packed(nets)
    assert len(data) <= MOST_BYTES, f"{len(data)} bytes"
    open(sys.argv[1], "wb").write(data)
    cases = []
    short = lambda x: [float(f"{v:.7g}") for v in np.ravel(x)]
    for name, day, y in histories():
        y = y.astype(np.float32)[-28 * day:]
        q, top, shown = forecast(nets, Store([y], [day]), 0, len(y), 288)
        leads = [1, 2, 12, 48, 100, 288]
        cases.append(dict(
            name=name, day=day, values=[None if np.isnan(v) else float(f"{v:.7g}") for v in y], once=short(shown["once"]), leads=leads,
            inputs=[short(shown["step"][h - 1]) for h in leads], quantiles=[short(q[h - 1]) for h in leads],
            peaks={str(n): short(v) for n, v in top.items()}))
    json.dump(dict(levels=LEVELS, cases=cases), open(sys.argv[2], "w"))
    print(f"{len(data)} bytes, {len(cases)} cases")


if __name__ == "__main__":
    main()
