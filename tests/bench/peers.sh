#!/bin/sh
# Forecasts of the peers, for `make bench-forecast`: makes a virtual environment where there is none, and goes on without peers where that fails.
# usage: peers.sh VENV TRACKS OUT BUDGET_S
set -u
venv=$1 tracks=$2 out=$3 budget_s=$4
here=$(dirname "$0")

mkdir -p "$out"
rm -f "$out"/*__*.jsonl
if [ "$budget_s" -eq 0 ]; then
  echo "no peers: no time was given for them" >&2
  exit 0
fi
# Whole only once the stamp is there: one broken off is made anew.
if ! cmp -s "$here/requirements.txt" "$venv/made-of.txt"; then
  echo "making an environment for the peers in $venv ..." >&2
  rm -rf "$venv"
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"; }; then
    echo "no peers: their environment can't be made (python3 with venv and a package index are needed); going on without" >&2
    exit 0
  fi
  cp "$here/requirements.txt" "$venv/made-of.txt"
fi
# A single fit can take minutes on a busy machine: whatever the budget, it ends. One thread each: a forecaster is fitted for one series at a time.
stop=""
if command -v timeout >/dev/null; then stop="timeout $((2 * budget_s + 120))"; fi
if ! OMP_NUM_THREADS=1 NIXTLA_NUMBA_CACHE=1 $stop "$venv/bin/python" "$here/peers.py" --tracks "$tracks" --out "$out" --budget-s "$budget_s"; then
  echo "the peers' program failed; what it had forecast is scored" >&2
fi
