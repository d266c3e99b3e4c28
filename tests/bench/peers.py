#!/usr/bin/env python3
"""Forecasts a folder of tracks with what people use today, for `make bench-forecast` to score.
usage: peers.py --tracks DIR --out DIR [--budget-s 240]

Writes OUT/NAME__TRACK.jsonl, one line a (series, origin): id, origin, q (a path a level), ms. What is forecast:
  SPAR_ridge   P-Store's sparse periodic auto-regression (Taft et al. 2018), ridge, on every origin
  MSTL_ETS     statsforecast MSTL over the day with AutoETS on what is left (over a week of 2016 steps, too, a fit takes half a minute)
  AutoARIMA    statsforecast AutoARIMA without season: with 288 steps of it a fit takes minutes
  Prophet      with its defaults, day and week
The last three take up to a second a fit: each gets a third of the budget, on the last origins of series in an order shuffled by a
fixed seed, so that the subset does not depend on who is good where. At each origin a model sees y[:origin] and nothing else.
"""
import argparse, glob, gzip, json, logging, os, random, sys, time, warnings
import numpy as np

LEVELS = (0.05, 0.5, 0.9, 0.95, 0.99)
DAYS_BACK = 7         # SPAR: the same time on so many days before
RECENT = 6            # SPAR: departures from those days in so many last steps
HELD_OUT = 0.3        # SPAR: share of the past that errors are taken from, and not fitted on
RIDGE = 1e-3          # SPAR: of the features' mean square
FIT_DAYS = 28         # days of history the statistical models are given, as the daily naive's scale is
SAMPLES = 300         # Prophet: paths drawn for its quantiles


def series_of(path):
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as lines:
        for line in lines:
            row = json.loads(line)
            row["y"] = np.array([np.nan if v is None else v for v in row["y"]], float)
            yield row


def past_of(row, origin):
    """y[:origin] with what is missing filled from the step before (from the next one at the beginning)."""
    y = row["y"][:origin].copy()
    known = np.flatnonzero(np.isfinite(y))
    if not len(known):
        return np.zeros(origin)
    at = np.maximum(np.searchsorted(known, np.arange(origin), side="right") - 1, 0)
    return y[known[at]]


def spar(row, origin, horizon):
    day, past = row["seasons"][0], past_of(row, origin)
    root = np.sqrt(np.maximum(past, 0))
    days = max(1, min(DAYS_BACK, (origin // day - 1) // 2))
    end = len(root)
    # How far each step is from the same time on the days before.
    departure = np.zeros(end)
    departure[days * day:] = root[days * day:] - np.mean([root[(days - k - 1) * day:end - (k + 1) * day] for k in range(days)], 0)

    def features(now, lead):
        """Row i: before step now[i], for step now[i] + lead - 1."""
        target = now + lead - 1
        # Beyond a day ahead the nearest days are not known yet: those before are taken.
        first = (lead - 1) // day + 1
        periodic = np.stack([root[target - (first + k) * day] for k in range(days)], 1)
        recent = np.stack([departure[now - j] for j in range(1, RECENT + 1)], 1)
        return np.concatenate([periodic, recent, np.ones((len(now), 1))], 1)

    grid = sorted({lead for lead in (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 192, 240, 288, horizon) if lead <= horizon})
    points, errors = [], []
    for lead in grid:
        start = ((lead - 1) // day + 1 + days) * day + RECENT
        now = np.arange(start, end - lead + 1)
        if len(now) < 4 * (days + RECENT):
            return None
        x, y = features(now, lead), root[now + lead - 1]
        cut = int(len(now) * (1 - HELD_OUT))

        def solve(x, y):
            gram = x.T @ x
            return np.linalg.solve(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ y)

        errors.append(np.quantile(y[cut:] - x[cut:] @ solve(x[:cut], y[:cut]), LEVELS))
        weights = solve(x, y)
        points.append(weights)
    out = {level: np.empty(horizon) for level in LEVELS}
    for lead in range(1, horizon + 1):
        right = np.searchsorted(grid, lead)
        left = right if grid[right] == lead else right - 1
        share = 0 if left == right else (lead - grid[left]) / (grid[right] - grid[left])
        weights = points[left] * (1 - share) + points[right] * share
        error = errors[left] * (1 - share) + errors[right] * share
        point = (features(np.array([end]), lead) @ weights)[0]
        for level, e in zip(LEVELS, error):
            out[level][lead - 1] = max(point + e, 0) ** 2
    return out


def by_interval(forecast, name):
    """statsforecast gives centred intervals: 90 is 0.05 to 0.95, 80 up to 0.9, 98 up to 0.99."""
    paths = (forecast[f"{name}-lo-90"], forecast[name], forecast[f"{name}-hi-80"], forecast[f"{name}-hi-90"], forecast[f"{name}-hi-98"])
    return dict(zip(LEVELS, (np.asarray(path, float) for path in paths)))


def statistical(model, row, origin, horizon):
    import pandas as pd
    from statsforecast import StatsForecast
    past = past_of(row, origin)[-FIT_DAYS * row["seasons"][0]:]
    frame = pd.DataFrame({"unique_id": "s", "ds": np.arange(len(past)), "y": past})
    runner = StatsForecast(models=[model], freq=1, n_jobs=1)
    return by_interval(runner.forecast(df=frame, h=horizon, level=[80, 90, 98]), model.alias)


def mstl(row, origin, horizon):
    from statsforecast.models import MSTL, AutoETS
    return statistical(MSTL(season_length=row["seasons"][0], trend_forecaster=AutoETS(model="ZZN"), alias="model"), row, origin, horizon)


def auto_arima(row, origin, horizon):
    from statsforecast.models import AutoARIMA
    return statistical(AutoARIMA(season_length=1, alias="model"), row, origin, horizon)


def prophet(row, origin, horizon):
    import pandas as pd
    from prophet import Prophet
    past = row["y"][:origin][-FIT_DAYS * row["seasons"][0]:]
    start = row["start"] + (origin - len(past)) * row["step_s"]
    stamps = lambda first, count: pd.to_datetime(start + (first + np.arange(count)) * row["step_s"], unit="s")
    model = Prophet(uncertainty_samples=SAMPLES, daily_seasonality=True)
    model.fit(pd.DataFrame({"ds": stamps(0, len(past)), "y": past}))
    paths = model.predictive_samples(pd.DataFrame({"ds": stamps(len(past), horizon)}))["yhat"]
    return dict(zip(LEVELS, np.quantile(paths, LEVELS, axis=1)))


def line(row, origin, model):
    """The line of one task; none where the model can't be fitted to so little."""
    horizon = max(row["horizons"])
    # The processor's time: a machine that is busy with other things is not the model's fault.
    begun = time.process_time()
    paths = model(row, origin, horizon)
    ms = (time.process_time() - begun) * 1e3
    if paths is None:
        return None
    ordered = np.maximum.accumulate(np.maximum(np.stack([paths[level] for level in LEVELS]), 0), 0)
    q = {f"{level:g}": [float(f"{v:.6g}") for v in path] for level, path in zip(LEVELS, ordered)}
    return json.dumps({"id": row["id"], "origin": origin, "q": q, "ms": round(ms, 3)})


def warm_up(model):
    """A first fit, of a small series: what is compiled at first use is not a fit's time."""
    wave = 10 + 5 * np.sin(np.arange(24 * 14) * 2 * np.pi / 24) + np.arange(24 * 14) % 5
    row = {"id": "warm", "start": 0, "step_s": 3600, "seasons": [24, 168], "horizons": [24], "origins": [312], "y": wave}
    begun = time.monotonic()
    try:
        line(row, 312, model)
    except Exception as error:
        print(f"a first fit failed: {error}", file=sys.stderr)
    return time.monotonic() - begun


def forecast(name, model, tasks, out, budget_s):
    """Forecasts tasks (track, series, origin) until the budget is used up; says how many."""
    warming_s = warm_up(model)
    begun, done, failed = time.monotonic(), 0, None
    files = {}
    for track, row, origin in tasks:
        if time.monotonic() - begun > budget_s:
            break
        try:
            text = line(row, origin, model)
        except Exception as error:  # one fit that fails is that peer's loss of one task, not of all
            failed = f"{row['id']} at {origin}: {error}"
            continue
        if text:
            if track not in files:
                files[track] = open(os.path.join(out, f"{name}__{track}.jsonl"), "w")
            print(text, file=files[track], flush=True)
            done += 1
    for file in files.values():
        file.close()
    print(f"{name}: {done} of {len(tasks)} in {time.monotonic() - begun:.0f} s after {warming_s:.0f} s of warming up" + (f"; one failed: {failed}" if failed else ""), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--budget-s", type=float, default=240)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    # Disabled, not set to a level: cmdstanpy sets its own when it is imported.
    for noisy in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(noisy).disabled = True
    os.makedirs(options.out, exist_ok=True)
    for old in glob.glob(os.path.join(options.out, "*__*.jsonl")):
        os.remove(old)
    paths = sorted(glob.glob(os.path.join(options.tracks, "*.jsonl")) + glob.glob(os.path.join(options.tracks, "*.jsonl.gz")))
    tracks = {os.path.basename(path).split(".jsonl")[0]: list(series_of(path)) for path in paths}
    everything = [(name, row, origin) for name, rows in tracks.items() for row in rows for origin in row["origins"]]
    forecast("SPAR_ridge", spar, everything, options.out, options.budget_s)
    last = [(name, row, max(row["origins"])) for name, rows in tracks.items() for row in rows]
    random.Random(1).shuffle(last)
    # A track each in turn, so that all have their share of what the budget affords.
    last.sort(key=lambda task, seen={}: (seen.__setitem__(task[0], seen.get(task[0], 0) + 1), seen[task[0]])[1])
    for name, model in (("MSTL_ETS", mstl), ("AutoARIMA", auto_arima), ("Prophet", prophet)):
        forecast(name, model, last, options.out, options.budget_s / 3)


if __name__ == "__main__":
    main()
