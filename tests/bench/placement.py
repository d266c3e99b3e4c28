"""What forecasting is worth to placement, trace by trace: runs `isobar assess` on each and gathers its figures in one flat file.

usage: placement.py --isobar BINARY --out FOLDER [--data FOLDER] [--traces NAME,…] [--seeds 8] [--leads 1,6,12] [--headrooms 1.1,1.3,1.5]
                    [--forecaster best] [--elastic PROGRAM] [--docs FOLDER]

Of records of 24 days and more, the window is the ten days after two thirds of the record, and the history the 14 days before. Traces whose files
are not in --data are left out, and said to be; `worldwide`, `random-walk` and `flash-crowd` need no file. Standard library only.
Writes FOLDER/assess/TRACE.json and .html, as `isobar assess` does, and FOLDER/placement.json, in which what other parts of the bench found stays."""
import argparse, gzip, json, pathlib, shutil, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TO_CSV = ROOT / "examples/assess/to_csv.py"
DAY = 86_400
HISTORY_DAYS, WINDOW_DAYS = 14, 10

# name: (kind for to_csv.py, files in --data, further arguments of `isobar assess`). A kind of None: `isobar assess` reads the file itself.
TRACES = {
    "worldwide": ("worldwide", [ROOT / "examples/traces/worldwide.csv.gz"], []),
    "bitbrains": ("bitbrains-pools", ["series/bitbrains_rnd_public.npy2.xz"], []),
    "cloudphysics": ("cloudphysics", ["series/cloudphysics_30min_public.npz"], []),
    "tweets": ("series", ["series/nab/Twitter_volume_*.csv.gz"], []),
    "wc98": ("wc98", ["series/wc98_per_minute.csv.gz"], []),
    "mooncake": (None, ["keyed/mooncake_conversation.jsonl.gz"],
                 ["--columns", "time=timestamp,key=hash_ids", "--time-unit", "ms", "--step", "30s", "--shards", "64"]),
    "track-1h": ("track", [ROOT / "examples/tracks/1h_public.jsonl.gz"], []),
    "track-30min": ("track", [ROOT / "examples/tracks/30min_public.jsonl.gz"], []),
    "lora": (None, ["keyed/alibaba_lora_request_trace.csv.gz"],
             ["--columns", "time=gmt_create,key=groupId", "--shards", "16", "--step", "1h"]),
    "random-walk": ("random-walk", [], []),
    "flash-crowd": ("flash-crowd", [], []),
}
W106 = "keyed/caffeine_cloudphysics_w106.trace.xz"


def found(data, files):
    """The files there are; none where one is missing."""
    paths = []
    for name in files:
        if isinstance(name, pathlib.Path):
            paths.append(name)
            continue
        matching = sorted(data.glob(name)) if data else []
        if not matching:
            return None
        paths.extend(matching)
    return paths


def to_csv(kind, paths, into):
    with open(into, "w", encoding="utf-8") as out:
        subprocess.run([sys.executable, str(TO_CSV), kind, *(map(str, paths) if paths else ["-"])], stdout=out, check=True)


def cut(path):
    """Cuts a long record as the usage says; gives the arguments for it."""
    with open(path, encoding="utf-8") as lines:
        header, *rows = lines.read().splitlines()
    at = [row.split(",", 1)[0] for row in rows[:2]]
    step = float(at[1]) - float(at[0]) if at[0].replace(".", "").isdigit() else 60.0
    per_day = round(DAY / step)
    if len(rows) < (HISTORY_DAYS + WINDOW_DAYS) * per_day:
        return []
    begin = min(len(rows) * 2 // 3, len(rows) - WINDOW_DAYS * per_day)
    begin = max(begin, HISTORY_DAYS * per_day)
    kept = rows[begin - HISTORY_DAYS * per_day:begin + WINDOW_DAYS * per_day]
    path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    return ["--history", f"{HISTORY_DAYS}d"]


def assess(options, name, figures):
    kind, files, more = TRACES[name]
    paths = found(options.data, files)
    if paths is None:
        print(f"{name}: left out, as {files[0]} is not in --data", file=sys.stderr)
        return
    folder = options.out / "assess"
    folder.mkdir(parents=True, exist_ok=True)
    if kind is None:
        record, more = paths[0], [*more]
    else:
        record = folder / f"{name}.csv"
        to_csv(kind, paths, record)
        more = [*more, *cut(record)]
    report = folder / f"{name}.json"
    began = time.monotonic()
    command = [options.isobar, "assess", "--seeds", options.seeds, "--lead", options.leads, "--headroom", options.headrooms,
               "--forecaster", options.forecaster, "--out", report, "--html", folder / f"{name}.html", *more, record]
    subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)
    if kind is not None:
        record.unlink()
    gather(name, json.loads(report.read_text()), figures)
    print(f"{name}: {time.monotonic() - began:.0f} s")


def gather(name, report, figures):
    findings = report["findings"]
    facts = findings["facts"]
    days = facts["window_steps"] * facts["step_ms"] / 1000 / DAY
    figures[f"shards.{name}"], figures[f"window_days.{name}"], figures[f"starts.{name}"] = facts["shards"], days, findings["starts"]
    figures[f"forecaster.{name}"] = report["forecaster"]
    for cell in findings["cells"]:
        key = f"{name}.lead{cell['lead_steps']}.hr{round(100 * cell['headroom'])}"
        arms = {arm["arm"]: arm for arm in cell["arms"]}
        for figure, interval in [("skill_pct", cell["skill_pct"]), ("gain_pct", cell["gain_pct"]), ("avoided_pct", cell["avoided_pct"])]:
            # No skill: who knows the future gains next to nothing, either.
            if interval is not None:
                figures[f"{figure}.{key}"] = interval["mid"]
                figures[f"{figure}_low.{key}"], figures[f"{figure}_high.{key}"] = interval["low"], interval["high"]
        ours, reactive = arms["predictive"]["moves"]["mid"], arms["reactive"]["moves"]["mid"]
        figures[f"moves_10d.{key}"] = ours * 10 / days
        if reactive > 0:
            figures[f"moves_ratio.{key}"] = ours / reactive
        figures[f"thrash.{key}"] = arms["predictive"]["thrash"]["mid"]
        figures[f"node_hours.{key}"] = cell["node_hours"]
        figures[f"pays.{key}"] = cell["pays"]
        for arm, of in arms.items():
            figures[f"overload_node_s.{arm}.{key}"] = of["overload_node_s"]["mid"]
            if of["p99_ms"] is not None:
                figures[f"p99_ms.{arm}.{key}"] = of["p99_ms"]["mid"]


def lines_per_s(options, figures):
    """Reading speed, on one core: 5.3 million lines, whose placement is tried once only."""
    paths = found(options.data, [W106])
    if paths is None:
        print(f"assess_lines_per_s: left out, as {W106} is not in --data", file=sys.stderr)
        return
    log, report = options.out / "assess/w106.csv", options.out / "assess/w106.json"
    log.parent.mkdir(parents=True, exist_ok=True)
    to_csv("blocks", paths, log)
    command = [options.isobar, "assess", "--seeds", "1", "--lead", "1", "--headroom", "1.3", "--step", "1m", "--threads", "1",
               "--forecaster", "seasonal-naive", "--out", report, log]
    # One core: reading and parsing share it.
    pinned = ["taskset", "-c", "0", *command] if shutil.which("taskset") else command
    subprocess.run(list(map(str, pinned)), stdout=subprocess.DEVNULL, check=True)
    log.unlink()
    figures["assess_lines_per_s"] = json.loads(report.read_text())["record"]["lines_per_s"]


ABOUT = {
    "worldwide": "tenants of `examples/traces` in four regions, six hours apart",
    "bitbrains": "CPU of 189 Bitbrains machines in 48 pools",
    "cloudphysics": "I/O of 50 CloudPhysics machines, 30-minute steps, 7 days",
    "tweets": "mentions of five companies (NAB)",
    "wc98": "WorldCup98 requests, one total in equal parts",
    "mooncake": "Mooncake conversations, 59 minutes, 30-second steps",
    "track-1h": "`examples/tracks`, hourly",
    "track-30min": "`examples/tracks`, half-hourly",
    "lora": "Alibaba LoRA requests, hourly, 16 shards",
    "random-walk": "48 made-up units without any pattern",
    "flash-crowd": "48 made-up units, surges without warning",
}


def page(figures):
    """The figures as a page of documentation."""
    names = [name for name in TRACES if f"shards.{name}" in figures]
    lines = [
        "# What forecasting is worth to placement",
        "",
        "Made by `tests/bench/placement.py` (`make bench-placement DOCS=docs`) from the figures of `isobar assess`; [assess.md](assess.md) says what is tried and\nhow it is judged. Each trace tells its starts and forecaster; cells that are missing were not run.",
        "Overload in node-seconds, the median of the starts. Gain: share of the overload that the best arm without a forecast leaves which moving by",
        "forecast removes. Skill: that over what the same placer removes when it knows the future; none where that is next to nothing. In brackets 95 of",
        "100 resamples of starts and days. Moves: in ten days, or in the window where that is shorter than a day; in brackets over those of the reactive arm.",
        "",
    ]
    for name in names:
        lines += [f"## {name}", "", f"{ABOUT[name][0].upper()}{ABOUT[name][1:]}: {figures[f'shards.{name}']} shards on six nodes, "
                  f"a window of {figures[f'window_days.{name}']:.1f} days, {figures[f'starts.{name}']} starts, "
                  f"forecasts by `{figures[f'forecaster.{name}']}`.", "",
                  "| headroom | lead, steps | static | packed | reactive | predictive | clairvoyant | gain, % | skill, % | moves | pays |",
                  "|---|---|---|---|---|---|---|---|---|---|---|"]
        for key in sorted((k.split(".", 1)[1] for k in figures if k.startswith(f"pays.{name}.")), key=lambda k: [int(p.strip("leadhr")) for p in reversed(k.split(".")[1:])]):
            lead, headroom = key.split(".")[1:]
            value = lambda figure: figures.get(f"{figure}.{key}")
            within = lambda figure: "–" if value(figure) is None else f"{value(figure):.0f} ({value(figure + '_low') or 0:.0f} to {value(figure + '_high') or 0:.0f})"
            overloads = " | ".join(f"{value(f'overload_node_s.{arm}'):.0f}" for arm in ("static", "packed", "reactive", "predictive", "clairvoyant"))
            ratio, days = value("moves_ratio"), figures[f"window_days.{name}"]
            moves = f"{value('moves_10d') * (days / 10 if days < 1 else 1):.0f}" + ("" if ratio is None else f" ({ratio:.2f})")
            lines.append(f"| {int(headroom[2:]) / 100} | {lead[4:]} | {overloads} | {within('gain_pct')} | {within('skill_pct')} | {moves} | {value('pays')} |")
        lines.append("")
    return "\n".join(lines)


ELASTIC = ["--targets", "0.7,0.8,0.9,1.0", "--reactive-targets", "0.5,0.6,0.7,0.8,0.9", "--shrinks", "0.85"]


def elastic(options, figures):
    """The elastic arms: the last line tells both figures, or – where the sweep does not give one."""
    command = [options.elastic, "--scenario", ROOT / "examples/scenarios/elastic.toml", *ELASTIC]
    out = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True, text=True).stdout
    print(out)
    for figure in out.strip().splitlines()[-1].removeprefix("medians: ").split("; "):
        name, value = figure.split(" ")
        if value != "–":
            figures[name] = float(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isobar", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--traces", default=",".join(TRACES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--leads", default="1,6,12")
    parser.add_argument("--headrooms", default="1.1,1.3,1.5")
    parser.add_argument("--forecaster", default="best")
    parser.add_argument("--elastic", help="the program of host/sim/examples/elastic.rs; none: the elastic arms are left out")
    parser.add_argument("--docs", type=pathlib.Path, help="folder that placement.md is written to")
    options = parser.parse_args()
    unknown = set(options.traces.split(",")) - {*TRACES, "w106", ""}
    if unknown:
        parser.error(f"there is no trace {', '.join(sorted(unknown))}; there are {', '.join(TRACES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "placement.json"
    # What other parts of the bench found stays.
    figures = json.loads(path.read_text()) if path.exists() else {}
    for name in filter(None, options.traces.split(",")):
        if name == "w106":
            lines_per_s(options, figures)
        else:
            assess(options, name, figures)
        path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    if options.elastic:
        elastic(options, figures)
        path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    if options.docs:
        (options.docs / "placement.md").write_text(page(figures), encoding="utf-8")
    print(f"figures: {path}")


if __name__ == "__main__":
    main()
