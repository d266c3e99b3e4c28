"""What the network is shown. The Rust guest computes the same, from the same history: see `src/features.rs`."""
import numpy as np

FINE = 16          # last steps shown one by one
COARSE = 24        # bins before them, of two hours (but never below a step)
DAYS = 7           # earlier days looked at
WEEKS = 4          # earlier weeks looked at
SAMPLE = 512       # values of history from which its quantiles are taken
SAMPLE_QUANTILES = (0.02, 0.1, 0.25, 0.75, 0.9, 0.98, 1.0)
HISTORY_DAYS = 28
MAX_HISTORY = 16384
TRIALS = 64        # past moments, spread over a week, at which simple guesses are tried
SEQ = 4            # inputs of one encoder step
Z_MAX = 12.0


class Store:
    """All series end to end, with running sums."""

    def __init__(self, series, day_steps):
        self.base, self.length, self.day = [], [], np.array(day_steps, np.int64)
        ys, sums = [], {k: [] for k in ("v", "d1", "dd", "dw")}
        at = 0
        for s, d in zip(series, day_steps):
            y = np.asarray(s, np.float64)
            self.base.append(at)
            self.length.append(len(y))
            ys.append(np.append(y, np.nan))
            for key, lag in (("v", 0), ("d1", 1), ("dd", d), ("dw", 7 * d)):
                if lag == 0:
                    x = y
                else:
                    x = np.full(len(y), np.nan)
                    if len(y) > lag:
                        x[lag:] = np.abs(y[lag:] - y[:-lag])
                known = np.isfinite(x)
                sums[key].append((np.append(0, np.cumsum(np.where(known, x, 0))), np.append(0, np.cumsum(known))))
            at += len(y) + 1
        self.y = np.concatenate(ys)
        self.base, self.length = np.array(self.base), np.array(self.length)
        self.sums = {k: tuple(np.concatenate([p[i] for p in v]) for i in (0, 1)) for k, v in sums.items()}

    def at(self, s, i, low, high):
        """Values at steps i of series s, NaN outside [low, high)."""
        ok = (i >= low) & (i < high)
        return np.where(ok, self.y[self.base[s] + np.where(ok, i, 0)], np.nan)

    def mean(self, key, s, a, b, low, high):
        """Mean of what is known in [a, b) within [low, high); NaN of none."""
        low = np.minimum(low, high)
        a, b = np.clip(a, low, high), np.clip(b, low, high)
        total, count = self.sums[key]
        base = self.base[s]
        n = count[base + b] - count[base + a]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((n > 0) & (b > a), (total[base + b] - total[base + a]) / n, np.nan), np.where(b > a, n, 0)


def filled(x, fallback):
    return np.where(np.isfinite(x), x, fallback)


def log_ratio(a, b):
    return np.clip(np.log(filled(a, b) / b + 1e-3), -5, 5)


def scales(store, s, low, t):
    """Centre and unit of each window."""
    d = store.day[s]
    level, _ = store.mean("v", s, low, t, low, t)
    level = filled(level, 0.0)
    daily, n = store.mean("dd", s, low + d, t, low, t)
    first, _ = store.mean("d1", s, low + 1, t, low, t)
    rough = 2 * filled(first, 0.0) + 0.1 * np.abs(level)
    trust = np.minimum(n / d * 2, 1.0)  # half a day of daily differences is enough
    unit = trust * filled(daily, 0.0) + (1 - trust) * rough
    unit = np.maximum(unit, 1e-3 * np.abs(level) + 1e-6)
    n_hist = t - low
    index = low[:, None] + (np.arange(SAMPLE)[None] * n_hist[:, None]) // SAMPLE
    sample = np.sort(store.at(s[:, None], index, low[:, None], t[:, None]), axis=1)  # NaN last
    known = np.isfinite(sample).sum(1)
    pick = lambda q: filled(sample[np.arange(len(s)), np.minimum((q * known).astype(int), np.maximum(known - 1, 0))], level)
    return level, unit, pick(0.5), [pick(q) for q in SAMPLE_QUANTILES]


def context(store, s, low, t):
    """Everything said once a window: (centre, unit), encoder sequence, once-features."""
    d = store.day[s]
    level, unit, centre, quantiles = scales(store, s, low, t)
    z = lambda x: np.clip(np.arcsinh((x - centre.reshape((-1,) + (1,) * (x.ndim - 1))) / unit.reshape((-1,) + (1,) * (x.ndim - 1))), -Z_MAX, Z_MAX)
    mean = lambda a, b: store.mean("v", s, a, b, low, t)[0]
    now = {}
    now["day"] = filled(mean(t - d, t), level)
    now["eighth"] = filled(mean(t - np.maximum(d // 8, 1), t), now["day"])
    now[12] = filled(mean(t - 12, t), now["eighth"])
    now[3] = filled(mean(t - 3, t), now[12])
    now[1] = filled(mean(t - 1, t), now[3])
    now["week"] = filled(mean(t - 7 * d, t), level)
    once = [z(now[k]) for k in (1, 3, 12, "eighth", "day", "week")]
    for width, days in ((3, (1, 2, 3, 4, 5, 6, 7)), (12, (1, 2, 3, 7))):
        for k in days:
            once.append(z(now[width]) - z(filled(mean(t - k * d - width, t - k * d), now[width])))
    lags = {"d1": 1, "dd": d, "dw": 7 * d}
    ratio = lambda key, n: log_ratio(store.mean(key, s, t - n, t, low + lags[key], t)[0], unit)
    once += [ratio("dd", d), ratio("dd", 7 * d), ratio("dw", 28 * d), ratio("d1", 28 * d), ratio("d1", d), ratio("d1", 12)]
    once += [z(q) for q in quantiles]
    once.append(np.clip(np.arcsinh(-centre / unit), -Z_MAX, Z_MAX))
    once.append(np.log((t - low) / d + 0.03))
    once.append(np.log2(d) / 8)
    last = store.at(s[:, None], t[:, None] - 1 - np.arange(12)[None], low[:, None], t[:, None])
    last = np.where(np.isfinite(last), last, now[12][:, None])
    once += [z(last.max(1)), z(last.min(1))]
    once += record(store, s, low, t, z, now)
    drift = now_drift(once)
    once = np.stack(once, 1)
    # Encoder: bins, then steps, oldest first.
    width = np.maximum(d // 12, 1)
    i = np.arange(COARSE, 0, -1)[None]
    a_c = t[:, None] - FINE - i * width[:, None]
    a = np.concatenate([a_c, t[:, None] - np.arange(FINE, 0, -1)[None]], 1)
    w = np.concatenate([np.broadcast_to(width[:, None], a_c.shape), np.ones((len(s), FINE), int)], 1)
    S, L, T, dd = s[:, None], low[:, None], t[:, None], d[:, None]
    lag = store.mean("v", S, a - dd, a - dd + w, L, T)[0]
    here = store.mean("v", S, a, a + w, L, T)[0]
    lag = filled(lag, filled(here, now["day"][:, None]))
    here = filled(here, lag)
    rough = log_ratio(store.mean("d1", S, a, a + w, L + 1, T)[0], np.broadcast_to(unit[:, None], a.shape))
    seq = np.stack([z(here), z(lag), rough * 0.5, np.where(np.arange(COARSE + FINE)[None] < COARSE, 1.0, 0.0) + 0 * a], 2)
    return centre, unit, seq, once, {k: z(v) for k, v in now.items()} | drift


def now_drift(once):
    """What the last hour is above yesterday's, and the last three steps above the mean of seven days': places 6 to 16 of `once`."""
    return {"drift_day": once[13], "drift_days": np.mean(once[6:13], axis=0)}


def record(store, s, low, t, z, now):
    """How far simple guesses were off lately: logarithms of their mean errors, in units of z."""
    d = store.day[s]
    span = np.minimum(7 * d, np.maximum(t - low - d, 1))
    at = t[:, None] - 1 - (np.arange(TRIALS)[None] * span[:, None]) // TRIALS
    S, LOW, T, D = s[:, None], low[:, None], t[:, None], d[:, None]
    value = lambda i: store.at(S, i, LOW, T)
    truth = z(value(at))
    days = np.stack([z(value(at - k * D)) for k in range(1, DAYS + 1)])
    known = np.isfinite(days)
    n = known.sum(0)
    mean_of = lambda x, m: np.where(np.isfinite(x[:m]).any(0), np.where(np.isfinite(x[:m]), x[:m], 0).sum(0) / np.maximum(np.isfinite(x[:m]).sum(0), 1), np.nan)
    mean7 = mean_of(days, 7)
    full = np.where(known, days, mean7)
    median = np.sort(full, 0)[3]
    week = days[6]
    near = z(store.mean("v", S, at - D - 2, at - D + 3, LOW, T)[0])
    guesses = [days[0], mean_of(days, 3), mean7, median, week, near, z(value(at - 1)), z(value(at - 12))]
    out = []
    for guess in guesses:
        error = np.minimum(np.abs(truth - guess), 4.0)
        ok = np.isfinite(error)
        mean = np.where(ok, error, 0).sum(1) / np.maximum(ok.sum(1), 1)
        out.append(np.log(np.where(ok.any(1), mean, 1.0) + 0.01))
    return out


def targets(store, s, low, t, h, centre, unit, now):
    """What is said of each lead h [B, L] (1 is the next step): features [B, L, F] and anchors [B, L, A]."""
    B, L = h.shape
    d = store.day[s]
    S, LOW, T, D = s[:, None, None], low[:, None, None], t[:, None, None], d[:, None, None]
    c, u = centre[:, None, None], unit[:, None, None]
    zf = lambda x: np.clip(np.arcsinh((x - c) / u), -Z_MAX, Z_MAX)
    step = (t[:, None] + h - 1)[:, :, None]
    ahead = -(-h // d[:, None])               # days back to the newest known
    ahead_w = -(-h // (7 * d[:, None]))
    k = ahead[:, :, None] + np.arange(14)[None, None]
    days = zf(store.at(S, step - k * D, LOW, T))                        # [B, L, 14]
    weeks = zf(store.at(S, step - (ahead_w[:, :, None] + np.arange(WEEKS)[None, None]) * 7 * D, LOW, T))
    with np.errstate(all="ignore"):
        first, later = days[..., :DAYS], days[..., DAYS:]
        known = np.isfinite(first)
        n = known.sum(-1)
        level = now["eighth"][:, None]
        mean7 = np.where(n > 0, np.where(known, first, 0).sum(-1) / np.maximum(n, 1), level)
        first = np.where(known, first, mean7[..., None])
        n_later = np.isfinite(later).sum(-1)
        mean14 = np.where(n_later > 0, np.where(np.isfinite(later), later, 0).sum(-1) / np.maximum(n_later, 1), mean7)
        ordered = np.sort(first, -1)
        med7 = ordered[..., 3]
        weeks = np.where(np.isfinite(weeks), weeks, np.where(np.isfinite(weeks[..., :1]), weeks[..., :1], med7[..., None]))
    # Neighbours in time, two steps to each side.
    kk = k[..., :DAYS]
    near, _ = store.mean("v", S, step - kk * D - 2, step - kk * D + 3, LOW, T)
    near = zf(near)
    near = np.where(np.isfinite(near), near, first)
    around = np.stack([store.at(S, step - kk * D + j, LOW, T) for j in range(-2, 3)])
    high = zf(np.where(np.isfinite(around), around, -np.inf).max(0))
    high = np.where(np.isfinite(near) & (high > -Z_MAX), high, near)
    near_w = zf(store.mean("v", S, step - ahead_w[:, :, None] * 7 * D - 2, step - ahead_w[:, :, None] * 7 * D + 3, LOW, T)[0])[..., 0]
    near_w = np.where(np.isfinite(near_w), near_w, weeks[..., 0])
    hd = h / d[:, None]
    n1, n3, n12, nd = (now[key][:, None] + 0 * mean7 for key in (1, 3, 12, "day"))
    f = [first, weeks, ordered]
    f += [x[..., None] for x in (
        near[..., 0], near.mean(-1), np.sort(near, -1)[..., 3], near_w, high.mean(-1), high.max(-1), mean14,
        n1, n12,
        np.log(h) / 3 - 1, 1.0 / h, np.minimum(hd, 3.0), np.exp(-h / 6.0), np.minimum(ahead - 1, 7) / 3.0, np.cos(2 * np.pi * hd), np.sin(2 * np.pi * hd))]
    features = np.concatenate(f, -1)
    anchors = np.stack([n1, n3, n12, nd, first[..., 0], first[..., :3].mean(-1), med7, mean7, weeks[..., 0], weeks.mean(-1), near.mean(-1),
                        first[..., 0] + now["drift_day"][:, None], mean7 + now["drift_days"][:, None]], -1)
    return features.astype(np.float32), anchors.astype(np.float32)


HIGHEST_OF = (4, 5, 6, 7, 9)  # places of 0.5, 0.75, 0.9, 0.95, 0.99 among the levels


def peaks(step, q, n, d):
    """What is said of the maximum over the first n steps [B]: features [B, P] and anchors [B, A], from features and quantiles [B, L, .] of all."""
    B, L, _ = step.shape
    inside = np.arange(L)[None] < n[:, None]
    high = lambda x: np.where(inside[..., None], x, -np.inf).max(1)
    mean = lambda x: np.where(inside, x, 0).sum(1) / n
    top = high(q[..., HIGHEST_OF])
    days, weeks = high(step[..., :DAYS]), high(step[..., DAYS:DAYS + WEEKS])
    median = np.sort(days, 1)[:, 3:4]
    near = high(step[..., 22:23])
    said = [top, mean(q[..., HIGHEST_OF[0]])[:, None], mean(q[..., HIGHEST_OF[2]])[:, None], days, median, weeks, near,
            (np.log(n) / 3 - 1)[:, None], np.minimum(n / d, 3.0)[:, None]]
    return np.concatenate(said, 1).astype(np.float32), np.concatenate([top, days[:, :1], median, weeks[:, :1]], 1).astype(np.float32)
