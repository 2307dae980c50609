# Shared by the scripts of this folder and by .ci/run: makes .venv once, then gets out of the way.
# Source it from bash, then call `bootstrap`. Afterwards $ROOT is the repository and its .venv/bin is
# first on PATH.
#
# The environment is keyed by a hash of pyproject.toml, constraints.txt and the interpreter's version, so
# that a second run starts at once and a changed dependency is installed without being told.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The interpreter: $PYTHON, or the first of these that is new enough.
_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer found (set PYTHON to one)"
}

_environment_key() {
    "$1" - "$ROOT/pyproject.toml" "$ROOT/constraints.txt" <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode())
for name in sys.argv[1:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
}

_install() {
    local python=$1 key=$2
    say "making .venv (once; about a minute)"
    # A venv of another interpreter cannot be updated in place.
    if ! [ "$("$VENV/bin/python" -V 2>/dev/null)" = "$("$python" -V)" ]; then
        "$python" -m venv --clear "$VENV" ||
            die "$python cannot make a virtual environment (on Debian: install python3-venv)"
    fi
    rm -f "$VENV/.key"
    # Twice quiet: an old pip warns about being old, and about much else that nobody can act on here.
    # PIP_CONSTRAINT, not -c: it also pins what the isolated build of this project uses.
    PIP_CONSTRAINT=$ROOT/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        "$VENV/bin/python" -m pip install -qq --no-input --editable "$ROOT[dev]" ||
        die "installing the dependencies failed; see above"
    printf '%s\n' "$key" >"$VENV/.key"
}

bootstrap() {
    local python key
    python=$(_find_python) || exit 1
    key=$(_environment_key "$python") || exit 1
    if [ "$(cat "$VENV/.key" 2>/dev/null)" != "$key" ]; then
        if command -v flock >/dev/null 2>&1; then
            # Two scripts started together on a fresh clone must not install over each other.
            (
                flock 9
                [ "$(cat "$VENV/.key" 2>/dev/null)" = "$key" ] || _install "$python" "$key"
            ) 9>"$ROOT/.venv.lock" || exit 1
        else
            _install "$python" "$key"
        fi
    fi
    export PATH="$VENV/bin:$PATH"
}
