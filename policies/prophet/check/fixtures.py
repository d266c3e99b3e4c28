#!/usr/bin/env python3
"""Writes fixtures.json: what Python's Prophet makes of a few series, for ../tests/against_prophet.rs.

usage: pip install prophet==1.5.0 && python fixtures.py

The series are made here, from fixed seeds: a trend that bends, a day, a week, noise, and gaps. For each: what it was fitted with, the
values (null: missing), Prophet's most probable parameters (the largest load and the history's length being 1), and its trend, forecast and
80 % interval on every twelfth step of the history and on the day after it.

Prophet is told to search by Newton's method: by L-BFGS, its default, it stops further from the maximum.
"""
import json
import logging
import pathlib

import numpy as np
import pandas as pd
from prophet import Prophet

logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
DAY = 48
# name, days, seed, trend's rates by third of the history, daily and weekly swing, noise, share missing, first step, day and week orders, prior of bends
CASES = [
    ("steady", 16, 1, (0, 0, 0), 30, 10, 5, 0.0, 960_000, 4, 3, 0.05),
    ("bends", 28, 2, (4, -3, 6), 20, 15, 8, 0.0, 961_111, 4, 3, 0.05),
    ("gaps", 21, 3, (2, 2, -5), 40, 0, 6, 0.2, 955_003, 4, 3, 0.05),
    ("one_week", 7, 4, (3, 3, 8), 25, 0, 10, 0.0, 970_000, 4, 0, 0.05),
    ("stiff", 28, 5, (5, -8, 3), 30, 10, 12, 0.05, 958_000, 4, 3, 0.02),
    ("supple_many_waves", 28, 6, (-4, 8, -2), 50, 20, 10, 0.0, 966_000, 10, 3, 0.5),
]


def series(days, seed, rates, day, week, noise, missing, first):
    rng = np.random.default_rng(seed)
    n = days * DAY
    steps = first + np.arange(n)
    rate = np.repeat(rates, -(-n // 3))[:n] / DAY
    phase = 2 * np.pi * steps / DAY
    y = 200 + np.cumsum(rate) + day * (np.sin(phase) + 0.4 * np.sin(3 * phase + 1)) + week * np.sin(phase / 7)
    y = np.maximum(y + noise * rng.standard_normal(n), 0).round(1)
    y[rng.random(n) < missing] = np.nan
    return steps, y


def case(name, days, seed, rates, day, week, noise, missing, first, day_order, week_order, prior):
    steps, y = series(days, seed, rates, day, week, noise, missing, first)
    model = Prophet(
        daily_seasonality=day_order,
        weekly_seasonality=week_order or False,
        yearly_seasonality=False,
        changepoint_prior_scale=prior,
        uncertainty_samples=4000,
    )
    time = lambda steps: pd.to_datetime(steps * (86_400 // DAY), unit="s")
    model.fit(pd.DataFrame({"ds": time(steps), "y": y}), seed=1, algorithm="Newton")
    asked = np.concatenate([steps[::12], steps[-1] + 1 + np.arange(DAY)])
    np.random.seed(1)
    out = model.predict(pd.DataFrame({"ds": time(asked)}))
    rounded = lambda column: [round(float(v), 4) for v in out[column]]
    return {
        "name": name,
        "day": DAY,
        "first": first,
        "day_order": day_order,
        "week_order": week_order,
        "changepoint_prior": prior,
        "y": [None if np.isnan(v) else float(v) for v in y],
        "asked": asked.tolist(),
        "trend": rounded("trend"),
        "yhat": rounded("yhat"),
        "low": rounded("yhat_lower"),
        "high": rounded("yhat_upper"),
        # Prophet lists the weekly coefficients first.
        "slope": float(model.params["k"].item()),
        "offset": float(model.params["m"].item()),
        "changepoints": [float(v) for v in model.changepoints_t],
        "changes": [float(v) for v in model.params["delta"].ravel()],
        "weekly": [float(v) for v in model.params["beta"].ravel()[: 2 * week_order]],
        "daily": [float(v) for v in model.params["beta"].ravel()[2 * week_order :]],
        "noise": float(model.params["sigma_obs"].item()),
    }


rows = [json.dumps(case(*row)) for row in CASES]
path = pathlib.Path(__file__).with_name("fixtures.json")
path.write_text("[\n" + ",\n".join(rows) + "\n]\n")
