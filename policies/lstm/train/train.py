#!/usr/bin/env python3
"""Trains the network on the public series, and saves it.

usage: train.py SERIES_FOLDER OUT.pt [--aside] [--windows N] [--steps N] [--hidden N] [--first N] [--second N] [--mixtures N] [--drop PERCENT] [--seed N] [--steps-of TRAINED.pt]

`--steps-of` takes the steps' part from an earlier run and trains the maximum's alone. `--aside` leaves one series in five out and says how well those are forecast: how every constant was chosen. Without it, all series are
learnt from.
"""
import argparse, time
import numpy as np
import torch
from features import context, peaks, targets
from network import LEVELS, Network, Z_LIMIT, pinball
from series import load
from windows import Windows

BATCH, PEAK_BATCH = 256, 512
RATE, WARM_UP, DECAY = 3e-3, 200, 1e-3
CLIP = 1.0
WINDOW_CAP = 40.0      # a window's loss beyond this no longer grows: 40 daily errors off is an accident
SHAPE_LOSS = 0.5       # weight of the loss in units of z beside the one in units of load
AVERAGE = 0.998        # of weights, step by step
IMPORTANCE = (0.1, 0.4, 0.3, 0.3, 1.0, 0.3, 1.0, 0.5, 0.4, 1.0)  # what is scored counts in full
PEAK_IMPORTANCE = (0.1, 0.2, 0.2, 0.2, 0.5, 0.3, 0.7, 1.0, 0.7, 0.7)
PEAK_WINDOWS, PEAK_STEPS = 30000, 3000

levels, importance, peak_importance = (torch.tensor(x) for x in (LEVELS, IMPORTANCE, PEAK_IMPORTANCE))


def drawn(windows, rng, count, late):
    parts = []
    for _ in range(0, count, 2000):
        part = windows.batch(*windows.draw(rng, 2000, 24, late))
        for key in ("seq", "once", "step", "anchors"):
            part[key] = part[key].astype(np.float16)  # half the memory
        parts.append(part)
    out = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return {k: v if k == "kind" else torch.from_numpy(v) for k, v in out.items()}


def standard(net, name, values):
    getattr(net, name + "_mean").copy_(values.mean(0))
    getattr(net, name + "_scale").copy_(1 / (values.std(0) + 0.05))


def loads(q, zero):
    """From units of z to units of load; loads are not negative."""
    return torch.maximum(torch.sinh(q), zero)


def loss_of(q, u, zero, weights):
    known = torch.isfinite(u)
    u = torch.where(known, u, 0.0)
    count = known.sum(1).clamp(min=1)
    raw = (pinball(loads(q, zero[:, None, None]), u, levels, weights) * known).sum(1) / count
    shape = (pinball(q, torch.asinh(u).clamp(-Z_LIMIT, Z_LIMIT), levels, weights) * known).sum(1) / count
    shrink = torch.clamp(WINDOW_CAP / raw.detach().clamp(min=1e-6), max=1.0)
    return (raw * shrink).mean() + SHAPE_LOSS * shape.mean()


def fit(net, parameters, loss, count, steps, rate, batch, seed, report):
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=DECAY)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    rng, losses, start = np.random.default_rng(seed), [], time.time()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * step / steps) + 0.01)
        value = loss(torch.from_numpy(rng.integers(0, count, batch)))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
        losses.append(value.item())
        with torch.no_grad():
            keep = min(AVERAGE, step / (step + 10))
            for k, v in net.state_dict().items():
                average[k].lerp_(v, 1 - keep)
        if (step + 1) % max(steps // 8, 1) == 0:
            print(f"step {step + 1}, {time.time() - start:.0f} s: loss {np.mean(losses[-300:]):.4f} {report(average) if report else ''}", flush=True)
    net.load_state_dict(average)


def judged(net, data, rows=False):
    """Scaled pinball loss (as the scorer has it), coverage of the 90 % interval, share below the 0.99 quantile."""
    with torch.no_grad():
        part = lambda i: net(*(data[k][i:i + 500].float() for k in ("seq", "once", "step", "anchors")))
        q = loads(torch.cat([part(i) for i in range(0, len(data["u"]), 500)]), data["zero"][:, None, None])
    u = data["u"]
    e = u[..., None] - q
    pin = 2 * torch.maximum(levels * e, (levels - 1) * e)[..., [4, 6, 9]].mean(-1)
    spl = torch.nanmean(pin, 1).clamp(max=10).numpy()
    cover = ((u >= q[..., 1]) & (u <= q[..., 7])).float().mean(1).numpy()
    below = (u <= q[..., 9]).float().mean(1).numpy()
    fine = np.array([not k.endswith("00s") for k in data["kind"]])
    text = f"all {np.nanmean(spl):.4f}, 5 min {np.nanmean(spl[fine]):.4f}, coverage {cover.mean():.3f}, below 0.99 {below.mean():.3f}"
    if rows:
        for kind in sorted(set(data["kind"])):
            own = data["kind"] == kind
            print(f"  {kind}: {own.sum()} windows, {np.nanmean(spl[own]):.3f}, {cover[own].mean():.2f}, {below[own].mean():.3f}")
    return text


def peak_data(net, windows, rng, count):
    """Whole paths, and the true maxima over their first steps."""
    out = {k: [] for k in ("context", "peak", "anchors", "u", "zero")}
    for _ in range(0, count, 250):
        s, low, t, _ = windows.draw(rng, 250, 1, False)
        centre, unit, seq, once, now = context(windows.store, s, low, t)
        h = np.broadcast_to(np.arange(1, 289)[None], (250, 288))
        step, anchors = targets(windows.store, s, low, t, h, centre, unit, now)
        y = windows.store.at(s[:, None], t[:, None] + h - 1, np.zeros_like(t)[:, None], windows.store.length[s][:, None])
        u = (y - centre[:, None]) / unit[:, None]
        f = lambda x: torch.from_numpy(np.asarray(x, np.float32))
        with torch.no_grad():
            q = net(f(seq), f(once), f(step), f(anchors)).numpy()
            shared = net.context(f(seq), f(once))
        left = np.minimum(windows.store.length[s] - t, 288)
        for n in (np.full(250, 12), np.full(250, 48), np.full(250, 288), 1 + (rng.random(250) ** 2 * left).astype(int)):
            n = np.minimum(n, left)
            p, a = peaks(step, q, n, windows.store.day[s])
            inside = (np.arange(288)[None] < n[:, None]) & np.isfinite(u)
            top = np.where(inside, u, -np.inf).max(1)
            ok = inside.sum(1) * 2 > n
            for key, value in (("context", shared), ("peak", f(p)), ("anchors", f(a)), ("u", f(top)), ("zero", f(-centre / unit))):
                out[key].append(value[torch.from_numpy(ok)])
    return {k: torch.cat(v) for k, v in out.items()}


def judged_peaks(net, data):
    with torch.no_grad():
        q = loads(net.peak(data["context"], data["peak"], data["anchors"]), data["zero"][:, None])
    return f"peaks above the 0.95 quantile {(data['u'] > q[:, 7]).float().mean():.3f}, loss {pinball(q, data['u'], levels, peak_importance).clamp(max=40).mean():.4f}"


def main():
    args = argparse.ArgumentParser()
    args.add_argument("folder"), args.add_argument("out"), args.add_argument("--aside", action="store_true")
    for name, value in (("windows", 120000), ("steps", 3000), ("hidden", 48), ("first", 64), ("second", 48), ("mixtures", 400), ("drop", 10), ("seed", 1)):
        args.add_argument("--" + name, type=int, default=value)
    args.add_argument("--steps-of")
    args = args.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    series = load(args.folder, np.random.default_rng(args.seed), mixtures=args.mixtures)
    learnt = Windows([s for s in series if not (args.aside and s.held_out)])
    data = drawn(learnt, np.random.default_rng(args.seed + 1), 2000 if args.steps_of else args.windows, False)
    aside, report, peak_report = None, None, None
    if args.aside:
        aside = Windows([s for s in series if s.held_out])
        kept = drawn(aside, np.random.default_rng(3), 8000, True)
    width = lambda k: data[k].shape[-1]
    net = Network(width("seq"), width("once"), width("step"), width("anchors"), hidden=args.hidden, first=args.first, second=args.second, drop=args.drop / 100)
    standard(net, "once", data["once"].float())
    standard(net, "step", data["step"][:20000].float().flatten(0, 1))
    print(f"{sum(p.numel() for p in net.parameters())} weights, {len(learnt.series)} series, {args.windows} windows", flush=True)
    trial = Network(**net.shape).eval()
    if aside:
        def report(weights):
            trial.load_state_dict(weights)
            return judged(trial, kept)
    inputs = lambda i: (data[k][i].float() for k in ("seq", "once", "step", "anchors"))
    loss = lambda i: loss_of(net(*inputs(i)), data["u"][i], data["zero"][i], importance)
    if args.steps_of:
        own = {k: v for k, v in torch.load(args.steps_of, weights_only=True)["weights"].items() if not k.startswith("peak")}
        net.load_state_dict(own, strict=False)
    else:
        fit(net, [p for n, p in net.named_parameters() if not n.startswith("peak")], loss, args.windows, args.steps, RATE, BATCH, args.seed, report)
    net.eval()
    if aside:
        judged(net, kept, rows=True)
    torch.save(dict(shape=net.shape, weights=net.state_dict()), args.out)
    # The maximum, with the rest as it is.
    top = peak_data(net, learnt, np.random.default_rng(args.seed + 2), PEAK_WINDOWS)
    standard(net, "peak", top["peak"])
    if aside:
        top_kept = peak_data(net, aside, np.random.default_rng(4), 4000)
        def peak_report(weights):
            trial.load_state_dict(weights)
            return judged_peaks(trial, top_kept)
    net.train()
    def peak_loss(i):
        q = net.peak(top["context"][i], top["peak"][i], top["anchors"][i])
        return loss_of(q[:, None], top["u"][i][:, None], top["zero"][i], peak_importance)
    fit(net, [p for n, p in net.named_parameters() if n.startswith("peak")], peak_loss, len(top["u"]), PEAK_STEPS, RATE, PEAK_BATCH, args.seed, peak_report)
    torch.save(dict(shape=net.shape, weights=net.state_dict()), args.out)


if __name__ == "__main__":
    main()
