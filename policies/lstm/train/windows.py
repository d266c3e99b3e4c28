"""Draws training windows: a series, a moment, a length of history, leads; features and truth."""
import numpy as np
from features import HISTORY_DAYS, MAX_HISTORY, Store, context, targets
from series import weight

DAY_S = 86400


def day_steps(step_s):
    return max(1, min(DAY_S // step_s, 8640))


class Windows:
    def __init__(self, series):
        self.series = [s for s in series if np.isfinite(s.y).sum() > 60 and np.nanstd(s.y) > 0]
        self.day = np.array([day_steps(s.step_s) for s in self.series])
        self.store = Store([s.y for s in self.series], self.day)
        kinds = {}
        for s in self.series:
            kinds[s.kind] = kinds.get(s.kind, 0) + 1
        p = np.array([weight(s.kind) / kinds[s.kind] for s in self.series])
        self.p = p / p.sum()

    def draw(self, rng, count, leads, late=False):
        """Windows by series index, first known step, origin; `late`: with all the history there is."""
        s = rng.choice(len(self.p), count, p=self.p)
        length, day = self.store.length[s], self.day[s]
        far = np.minimum(np.maximum(np.minimum(288, 2 * day), 48), length // 3)
        lowest = np.where(rng.random(count) < (0.0 if late else 0.12), 2, np.minimum(length // 2, 7 * day + 1))
        t = lowest + (rng.random(count) * np.maximum(length - far - lowest, 1)).astype(int)
        most = np.minimum(np.minimum(t, HISTORY_DAYS * day), MAX_HISTORY)
        short = np.exp(rng.uniform(np.log(0.02), 0, count))
        keep = np.where(rng.random(count) < (0.0 if late else 0.3), np.maximum((most * short).astype(int), 1), most)
        # Leads: near ones more often than far ones, but far ones too.
        u = rng.random((count, leads))
        even = 1 + (rng.random((count, leads)) * far[:, None]).astype(int)
        near = 1 + (rng.random((count, leads)) * np.minimum(far, 48)[:, None]).astype(int)
        nearest = 1 + (rng.random((count, leads)) * np.minimum(far, 12)[:, None]).astype(int)
        h = np.where(u < 0.4, even, np.where(u < 0.7, near, nearest))
        return s, t - keep, t, h

    def batch(self, s, low, t, h):
        centre, unit, seq, once, now = context(self.store, s, low, t)
        step, anchors = targets(self.store, s, low, t, h, centre, unit, now)
        y = self.store.at(s[:, None], t[:, None] + h - 1, np.zeros_like(t)[:, None], self.store.length[s][:, None])
        u = (y - centre[:, None]) / unit[:, None]
        f = np.float32
        return dict(seq=seq.astype(f), once=once.astype(f), step=step, anchors=anchors, u=u.astype(f), zero=(-centre / unit).astype(f),
                    unit=unit, centre=centre, kind=np.array([self.series[i].kind for i in s]))
