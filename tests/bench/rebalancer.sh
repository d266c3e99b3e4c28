#!/bin/sh
# An environment with Meta's Rebalancer, for `make bench-plan`, where there is a Python that it runs on; says why not where there is none.
# usage: rebalancer.sh VENV
set -u
venv=$1
# A version alone decides: one broken off is made anew.
package="rebalancer==1.0.4"
if [ "$(cat "$venv/made-of.txt" 2>/dev/null)" = "$package" ]; then exit 0; fi
rm -rf "$venv"
for python in python3 python3.14 python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 || continue
  echo "making an environment for Rebalancer in $venv, with $python ..." >&2
  if "$python" -m venv "$venv" && "$venv/bin/pip" install --quiet "$package"; then
    echo "$package" >"$venv/made-of.txt"
    exit 0
  fi
  rm -rf "$venv"
done
echo "no Rebalancer: it needs Python 3.12 or later (apt install python3.12-venv, or pyenv install 3.12) and a package index; going on without" >&2
