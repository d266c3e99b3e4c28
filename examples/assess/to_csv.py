"""Odd formats of public load traces, made CSV that `isobar assess` reads: `time,UNIT,UNIT,…`, or `time,key` a query a line. Standard library only.

usage: to_csv.py KIND FILE… > load.csv

  worldwide    this repository's examples/traces/worldwide.csv.gz: each series in four regions six hours apart, weighted as the demo does
  bitbrains    GWA-T-12 "Bitbrains" as xz of two numpy arrays (machines; machine x [CPU, read, write] x step): MHz of each machine
  bitbrains-io the same: KB/s read and written by each machine
  cloudphysics numpy archive of arrays [step, (reads, writes, bytes read, bytes written)], 30 minutes a step: operations a second
  track        JSON lines with id, start, step_s, y: series of like start are put on one grid; each is scaled to a mean of 1 000
  series       CSV with `timestamp,value` (NAB): each file is a unit, scaled to a mean of 1 000, the first day of each laid on one Monday
  m4           M4 hourly, a series a line: each scaled to a mean of 1 000, all begin together
  columns      CSV without times: each column is a unit, scaled to a mean of 1 000; STEP_S before the file says how long a step is
  wc98, nasa   totals only: `time,all`
  bitbrains-pools  the machines' MHz, summed over 48 pools by a hash of their ids, a gap taken as no load
  random-walk  no trace: 48 units that wander without a pattern, 24 days of 5 minutes, seeded (any FILE, say -)
  flash-crowd  no trace: 48 units with a daily wave each, of which one or another surges now and then without warning (likewise)
  blocks       xz of 32-bit block numbers in order, without times: a thousand queries a second
"""
import ast, bz2, csv, datetime, gzip, hashlib, io, json, lzma, math, random, struct, sys, zipfile
from array import array

MONDAY = 1_704_067_200  # 2024-01-01, a Monday, 00:00 UTC


def text(path):
    return io.TextIOWrapper(gzip.open(path) if path.endswith(".gz") else open(path, "rb"), encoding="utf-8")


def wide(names, rows, start, step):
    """rows[unit][step] -> CSV; None is missing."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["time", *names])
    for at in range(max(map(len, rows))):
        out.writerow([start + at * step] + ["" if at >= len(r) or r[at] is None else f"{r[at]:.6g}" for r in rows])


def scaled(values, mean=1000.0):
    known = [v for v in values if v is not None and math.isfinite(v) and v >= 0]
    factor = mean / max(sum(known) / max(len(known), 1), 1e-12)
    return [None if v is None or not math.isfinite(v) or v < 0 else v * factor for v in values]


def npy(stream):
    """One numpy array from a stream: its shape and its values, flat."""
    assert stream.read(6) == b"\x93NUMPY", "no numpy array"
    major, _ = stream.read(2)
    size = struct.unpack("<H", stream.read(2))[0] if major == 1 else struct.unpack("<I", stream.read(4))[0]
    header = ast.literal_eval(stream.read(size).decode("latin1").strip())
    kinds = {"<i4": "i", "<i8": "q", "<f4": "f", "<f8": "d", "<u4": "I"}
    values = array(kinds[header["descr"]])
    count = math.prod(header["shape"])
    values.frombytes(stream.read(count * values.itemsize))
    if header["fortran_order"] and len(header["shape"]) > 1:
        raise SystemExit("arrays in Fortran order are not read")
    return header["shape"], values


def worldwide(path):
    rows = list(csv.reader(text(path)))
    names, columns = rows[0], [list(map(float, c)) for c in zip(*rows[1:])]
    units, named = [], []
    steps, apart, history = len(columns[0]) - 3 * 72, 72, 14 * 288
    for i, (name, column) in enumerate(zip(names, columns)):
        for region in range(4):
            part = column[region * apart:region * apart + steps]
            weight = 0.5 + 1.5 * ((i * 4 + region) * 0.61803 % 1)
            mean = sum(part[:history]) / history
            units.append([v / mean * weight * 1000 for v in part])
            named.append(f"{name}@{region}")
    wide(named, units, MONDAY, 300)


def bitbrains(path, columns):
    with lzma.open(path) as stream:
        (machines,), ids = npy(stream)
        (count, kinds, steps), values = npy(stream)
    assert count == machines
    def row(m):
        parts = [values[(m * kinds + k) * steps:(m * kinds + k + 1) * steps] for k in columns]
        return [None if any(v < 0 for v in at) else sum(at) for at in zip(*parts)]
    # 2013-07-20 22:00 UTC.
    wide([f"vm{i}" for i in ids], [row(m) for m in range(machines)], 1_374_357_600, 300)


def bitbrains_pools(path, pools=48):
    with lzma.open(path) as stream:
        (machines,), ids = npy(stream)
        (count, kinds, steps), values = npy(stream)
    rows = [[0] * steps for _ in range(pools)]
    for m, machine in enumerate(ids):
        row = rows[int(hashlib.sha256(f"pool{machine}".encode()).hexdigest(), 16) % pools]
        for at, v in enumerate(values[m * kinds * steps:(m * kinds + 1) * steps]):
            row[at] += max(v, 0)
    wide([f"pool{i}" for i in range(pools)], rows, 1_374_357_600, 300)


def random_walk(units=48, days=24):
    """Logarithms wander, drawn back to their mean within days: nothing in their past tells where they go."""
    draw = random.Random(1)
    rows = []
    for _ in range(units):
        weight, level, row = draw.uniform(300, 1500), 0.0, []
        for _ in range(days * 288):
            level = 0.9995 * level + draw.gauss(0, 0.02)
            row.append(weight * math.exp(level))
        rows.append(row)
    wide([f"walk{i}" for i in range(units)], rows, MONDAY, 300)


def flash_crowd(units=48, days=24):
    """A daily wave each, at an hour of its own; twice a day a unit taken at random rises to five times its load within ten minutes, and falls
    back over an hour."""
    draw = random.Random(2)
    rows = []
    for _ in range(units):
        weight, hour, depth = draw.uniform(300, 1500), draw.uniform(0, 1), draw.uniform(0.2, 0.7)
        rows.append([weight * (1 + depth * math.sin(2 * math.pi * (t / 288 + hour))) * draw.uniform(0.95, 1.05) for t in range(days * 288)])
    for _ in range(2 * days):
        row, begin = rows[draw.randrange(units)], draw.randrange(days * 288)
        for t in range(begin, min(begin + 24, days * 288)):
            since = t - begin
            row[t] *= 1 + 4 * min(1.0, (since + 1) / 2) * math.exp(-max(0, since - 6) / 6)
    wide([f"crowd{i}" for i in range(units)], rows, MONDAY, 300)


def cloudphysics(path):
    names, rows = [], []
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.namelist()):
            with archive.open(member) as stream:
                shape, values = npy(stream)
            if len(shape) != 2 or shape[1] < 2:
                continue
            names.append(member.removesuffix(".npy"))
            rows.append([(values[at * shape[1]] + values[at * shape[1] + 1]) / 1800 for at in range(shape[0])])
    # Most machines were watched for a week; what a few have beyond is left out.
    usual = sorted(map(len, rows))[len(rows) // 2]
    wide(names, [r[:usual] for r in rows], MONDAY, 1800)


def track(path):
    series = [json.loads(line) for line in text(path)]
    step = series[0]["step_s"]
    first = min(s["start"] for s in series)
    week = 7 * 86400
    rows = []
    for s in series:
        assert s["step_s"] == step
        # The same time of the week, in the first week: only that matters.
        offset = (s["start"] - first) % week // step
        rows.append([None] * offset + scaled(s["y"]))
    # Where all are there.
    begin, end = max(next(i for i, v in enumerate(r) if v is not None) for r in rows), sorted(map(len, rows))[len(rows) // 4]
    kept = [(s["id"], r[begin:end]) for s, r in zip(series, rows) if len(r) >= end]
    wide([k for k, _ in kept], [r for _, r in kept], first + begin * step, step)


def series(paths):
    names, rows = [], []
    step = None
    for path in paths:
        lines = list(csv.DictReader(text(path)))
        times = [datetime.datetime.fromisoformat(l["timestamp"][:19]).replace(tzinfo=datetime.timezone.utc).timestamp() for l in lines]
        apart = sorted(b - a for a, b in zip(times, times[1:]))[len(times) // 2]
        step = step or apart
        if apart != step:
            raise SystemExit(f"{path}: a value every {apart} s, the first file has one every {step} s")
        week = 7 * 86400
        # 1970-01-05 was a Monday.
        into_week = (times[0] - 4 * 86400) % week
        row = {}
        for at, line in zip(times, lines):
            row[int((into_week + at - times[0]) // step)] = float(line["value"])
        names.append(path.rsplit("/", 1)[-1].split(".")[0])
        rows.append(scaled([row.get(i) for i in range(max(row) + 1)]))
    begin = max(next(i for i, v in enumerate(r) if v is not None) for r in rows)
    end = min(map(len, rows))
    wide(names, [r[begin:end] for r in rows], MONDAY + begin * int(step), int(step))


def m4(path):
    rows, names = [], []
    for line in list(csv.reader(text(path)))[1:]:
        names.append(line[0])
        rows.append(scaled([float(v) for v in line[1:] if v not in ("", "NA")]))
    shortest = min(map(len, rows))
    wide(names, [r[:shortest] for r in rows], MONDAY, 3600)


def columns(step, path):
    rows = list(csv.reader(text(path)))
    number = lambda v: float(v) if v not in ("", "nan", "NaN") else None
    wide(rows[0], [scaled(list(map(number, c))) for c in zip(*rows[1:])], MONDAY, int(step))


def wc98(path):
    print("time,all")
    for line in csv.DictReader(text(path)):
        print(f"{line['period'].replace(' ', 'T')}Z,{float(line['count']) / 60:.6g}")


def nasa(path):
    counts = [int(line) for line in bz2.open(path, "rt")][:2_381_544]
    # 1995-07-01 00:00:01 -0400; per minute.
    wide(["all"], [[sum(counts[i:i + 60]) / 60 for i in range(0, len(counts) - 59, 60)]], 804_571_201, 60)


def blocks(path):
    print("time_ms,key")
    with lzma.open(path) as stream:
        at = 0
        while chunk := stream.read(4 << 16):
            numbers = array("I")
            numbers.frombytes(chunk)
            sys.stdout.write("".join(f"{MONDAY * 1000 + at + i},{n}\n" for i, n in enumerate(numbers)))
            at += len(numbers)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    kind, files = sys.argv[1], sys.argv[2:]
    kinds = {"worldwide": worldwide, "cloudphysics": cloudphysics, "track": track, "m4": m4, "columns": columns, "wc98": wc98, "nasa": nasa, "blocks": blocks,
             "bitbrains": lambda p: bitbrains(p, [0]), "bitbrains-pools": bitbrains_pools, "random-walk": lambda _: random_walk(), "flash-crowd": lambda _: flash_crowd(),
             "bitbrains-io": lambda p: bitbrains(p, [1, 2]), "series": lambda *p: series(p)}
    if kind not in kinds:
        raise SystemExit(__doc__)
    kinds[kind](*files)
