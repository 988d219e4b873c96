#!/usr/bin/env bash
# Creates or refreshes one Python environment with this project installed in it, editable.
#   tools/environment.sh FOLDER EXTRAS CONSTRAINTS PYTHON...
# PYTHON...: versions that will do, the preferred one first ("3.11 3.12 3.13").
# Leaves FOLDER/installed, which lists the extras, when, and only when, everything is in place.
# Extras that it lists already are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 extras=$2 constraints=$3
shift 3
versions=("$@")

# What a surrounding environment sets must not leak into this one.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }
fail() { say "make: $*"; exit 1; }

# An interpreter counts if it runs (a version manager's stand-in may exist for a version that is
# not active), is one of the wanted versions, and can make environments (Debian splits that off).
can_run() {
  "$1" - "${versions[@]}" >/dev/null 2>&1 <<'PYTHON'
import sys
if "%d.%d" % sys.version_info[:2] not in sys.argv[1:]:
    sys.exit(1)
import ensurepip, venv
PYTHON
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    can_run "$PYTHON" || fail "PYTHON=$PYTHON does not run as Python ${versions[*]} with the venv" \
      "module; name another, or leave PYTHON out to have one looked for"
    echo "$PYTHON"
    return
  fi
  for candidate in "${versions[@]/#/python}" python3 python; do
    if can_run "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no usable Python found for $folder: needs Python" \
    "$(printf '%s or ' "${versions[@]}" | sed 's/ or $//') with the venv module" \
    "(Debian and Ubuntu: apt-get install python3-venv; or name one: make PYTHON=/path/to/python)"
}

for extra in $(cat "$folder/installed" 2>/dev/null); do
  case ",$extras," in *",$extra,"*) ;; *) extras+=,$extra ;; esac
done
rm -f "$folder/installed"
if ! can_run "$folder/bin/python"; then
  python=$(find_python)
  say "Creating $folder with $("$python" --version) ..."
  "$python" -m venv --clear "$folder" || fail "$python could not create $folder (see above)"
fi

log=$folder/install.log
say "Installing the packages of $constraints into $folder" \
  "(the first time 0.6 GB are downloaded, which may take minutes; log: $log) ..."
if ! "$folder/bin/python" -m pip install --editable ".[$extras]" --constraint "$constraints" \
    >"$log" 2>&1; then
  if grep -qiE 'NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|name resolution|Name or service not known|Network is unreachable|ProxyError|Connection refused|from versions: none' "$log"
  then
    fail "the packages for $folder could not be downloaded: is this machine offline? The first" \
      "run needs a Python package index (or PIP_FIND_LINKS set to a folder of wheels); log: $log"
  elif grep -qi 'No space left on device' "$log"; then
    fail "the disk is full: $folder needs about 2.5 GB; log: $log"
  fi
  fail "installing into $folder failed: $(grep -i '^ERROR' "$log" | tail -n 1); log: $log"
fi
echo "${extras//,/ }" >"$folder/installed"
