"""Writes reference.json: series, and what statsforecast (and statsmodels, for KPSS and forecasts) make of them.

    pip install statsforecast==2.1.1 && python reference.py > reference.json

For each series: fits of fixed orders by conditional sum of squares, the corrected AIC of every small order, the order that its own
stepwise search chooses, and the KPSS statistic. Nothing here is needed to build or run the policy.
"""
import json
import numpy as np
from statsforecast.arima import arima, auto_arima_f
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.stattools import kpss
import warnings

warnings.simplefilter("ignore")
BURN = 200


def simulate(rng, n, ar, ma, mean=0.0, d=0):
    e = rng.standard_normal(n + BURN)
    w = np.zeros(n + BURN)
    for t in range(n + BURN):
        w[t] = e[t] + sum(a * w[t - 1 - i] for i, a in enumerate(ar) if t > i) + sum(b * e[t - 1 - j] for j, b in enumerate(ma) if t > j)
    w = w[BURN:] + mean
    return np.round(np.cumsum(w) if d else w, 4)


def fit(x, p, d, q, mean):
    return arima(x.copy(), order=(p, d, q), include_mean=mean, method="CSS")


def aicc(m):
    n, k = int(m["nobs"]), len(m["coef"]) + 1
    return round(float(-2 * m["loglik"] + 2 * k + 2 * k * (k + 1) / (n - k - 1)), 6)


def ahead(x, d, m, p, q):
    """Ten steps ahead with those coefficients, by statsmodels' Kalman filter: statsforecast does not filter after a CSS fit."""
    c = m["coef"]
    mean = "intercept" in c
    model = ARIMA(x, order=(p, d, q), trend="c" if mean else "n")
    params = ([c["intercept"]] if mean else []) + [c[f"ar{i + 1}"] for i in range(p)] + [c[f"ma{j + 1}"] for j in range(q)]
    return [round(float(v), 6) for v in model.filter(params + [m["sigma2"]]).forecast(10)]


def reference(name, x, d):
    orders = [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1)]
    fits = []
    for p, q in orders:
        m = fit(x, p, d, q, d == 0)
        c = m["coef"]
        fits.append({
            "p": p, "q": q, "mean": d == 0,
            "ar": [round(float(c[f"ar{i + 1}"]), 8) for i in range(p)], "ma": [round(float(c[f"ma{j + 1}"]), 8) for j in range(q)],
            "level": round(float(c["intercept"]), 8) if d == 0 else 0.0,
            "sigma2": round(float(m["sigma2"]), 8), "loglik": round(float(m["loglik"]), 6), "aicc": aicc(m),
            "ahead": ahead(x, d, m, p, q),
        })
    grid = [{"p": p, "q": q, "mean": mean, "aicc": aicc(fit(x, p, d, q, mean))}
            for p in range(4) for q in range(4) for mean in ([True, False] if d == 0 else [False]) if p + q + mean > 0]
    chosen = auto_arima_f(x.copy(), d=d, max_p=3, max_q=3, max_order=6, seasonal=False, stepwise=True, approximation=False, method="CSS",
                          allowdrift=False)
    p, q = chosen["arma"][0], chosen["arma"][1]
    lags = int(3 * np.sqrt(len(x)) / 13)
    return {"name": name, "d": d, "values": x.tolist(), "fits": fits, "grid": grid,
            "chosen": {"p": p, "q": q, "mean": "intercept" in chosen["coef"]},
            "kpss": [{"lags": l, "statistic": round(float(kpss(x, "c", nlags=l)[0]), 8)} for l in (0, lags, 20)]}


def main():
    rng = np.random.default_rng(20)
    cases = [
        ("ar1", [0.8], [], 5.0, 0), ("ar2", [0.5, 0.3], [], 0.0, 0), ("ma1", [], [0.6], 2.0, 0),
        ("arma11", [0.9], [-0.4], 0.0, 0), ("arma21", [1.2, -0.4], [0.5], 10.0, 0), ("ima11", [], [-0.5], 0.0, 1),
        ("arima110", [0.6], [], 0.0, 1), ("white", [], [], 1.0, 0),
    ]
    print(json.dumps({"made_by": "statsforecast 2.1.1", "series": [
        reference(name, simulate(rng, 300, ar, ma, mean, d), d) for name, ar, ma, mean, d in cases]}))


main()
