# Sourced by the scripts beside this directory: finds Python, makes the checkout's environment, becomes root.
# Plain sh, and nothing but coreutils is taken for granted.
#
# The environment is $PYTRACE_ENV, else .venv in the checkout, else (the checkout cannot be written to) a directory in
# the user's cache. It is made once and brought up to date when pyproject.toml or the Python changes.

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)

say() { printf '%s\n' "${0##*/}: $*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" > /dev/null 2>&1; }
log=

# Runs "$@" as root: directly, or through sudo or doas. Answers 127 where there is no way.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo -- "$@"
    elif have doas; then doas -- "$@"
    else return 127; fi
}

# Runs "$@" quietly; shows what it said only if it fails.
quietly() {
    if "$@" > "$log" 2>&1; then return 0; fi
    status=$?
    cat "$log" >&2
    return "$status"
}

# Installs packages of the distribution, if there is a way to. Arguments: names for apt, then --, then names for dnf.
install_packages() {
    apt= dnf= list=apt
    for word; do
        case $word in --) list=dnf ;; *) if [ $list = apt ]; then apt="$apt $word"; else dnf="$dnf $word"; fi ;; esac
    done
    if have apt-get; then
        [ -n "$apt" ] || return 0
        say "installing with apt:$apt"
        if [ -z "${apt_updated:-}" ]; then as_root apt-get -qq update < /dev/null > "$log" 2>&1 || cat "$log" >&2; fi
        apt_updated=1
        # shellcheck disable=SC2086 # a list of words is meant
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $apt < /dev/null > "$log" 2>&1
    elif have dnf; then
        [ -n "$dnf" ] || return 0
        say "installing with dnf:$dnf"
        # shellcheck disable=SC2086
        as_root dnf -q -y install $dnf < /dev/null > "$log" 2>&1
    else
        return 1
    fi
}

find_python() {
    for python in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$python" ] && have "$python" || continue
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && return 0
    done
    die "Python 3.11 or newer is needed and none is on PATH. Debian 12+, Ubuntu 24.04+: apt install python3 python3-venv;" \
        "Fedora: dnf install python3. Or name one: PYTHON=/path/to/python3.12 $0"
}

# Makes an empty environment at $env. Debian keeps the part of Python that this needs in a package of its own.
make_venv() {
    "$python" -m venv --clear "$env" > "$log" 2>&1 && return 0
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    install_packages "python$version-venv" -- python3-pip || install_packages python3-venv -- python3-pip || true
    "$python" -m venv --clear "$env" > "$log" 2>&1 && return 0
    if have uv && quietly uv venv -q --seed --python "$python" "$env"; then return 0; fi
    if have virtualenv && quietly virtualenv -q -p "$python" "$env"; then return 0; fi
    cat "$log" >&2
    die "$python cannot make a virtual environment. Install its venv module (Debian, Ubuntu: apt install python$version-venv;" \
        "Fedora: dnf install python3-pip) and run this again."
}

# prepare EXTRAS: afterwards $env holds the package (editable: the checkout's own files run) with those extras.
prepare() {
    find_python
    env=${PYTRACE_ENV:-$root/.venv}
    if ! { [ -w "$env" ] || { [ ! -e "$env" ] && mkdir -p "$env" 2> /dev/null; }; }; then
        env=${XDG_CACHE_HOME:-$HOME/.cache}/pytrace/env-$(printf %s "$root" | cksum | cut -d' ' -f1)
        mkdir -p "$env" || die "cannot make a directory for the environment; name one: PYTRACE_ENV=/some/where $0"
    fi
    # One file for each set of extras says what it was made from.
    want="$("$python" -c 'import sys; print(sys.version)' | tr '\n' ' ') $root $(cksum < "$root/pyproject.toml")"
    stamp=$env/.made-${1:-plain}
    [ "$(cat "$stamp" 2> /dev/null)" = "$want" ] && return 0
    log=$(mktemp) || exit 1
    # Two of us at once must not install into the same place.
    if have flock; then
        exec 9< "$env"
        flock 9
    fi
    if [ "$(cat "$stamp" 2> /dev/null)" != "$want" ]; then
        say "making the environment in $env (once)"
        [ -x "$env/bin/python" ] && "$env/bin/python" -m pip --version > /dev/null 2>&1 || make_venv
        quietly "$env/bin/python" -m pip install -q --disable-pip-version-check -e "$root${1:+[$1]}" ||
            die "pip could not install pytrace and what it needs into $env (see above)"
        printf %s "$want" > "$stamp"
    fi
    rm -f "$log"
    if have flock; then exec 9>&-; fi
}
