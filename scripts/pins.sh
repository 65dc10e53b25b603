#!/bin/sh
# Resolve constraints.txt and constraints-zig.txt anew: every version, every hash, no address of an index.
set -eu
cd "$(dirname "$0")/.."

# The pins must hold everywhere, so indexes and folders configured on this machine are not asked.
export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_INDEX_URL

.venv/bin/python -m pip install --quiet pip-tools

compile() {
    .venv/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options "$@"
}

compile --extra lake --extra test --extra lint --extra setup --build-deps-for sdist --output-file constraints.txt pyproject.toml
echo 'ziglang>=0.13' | compile --output-file constraints-zig.txt -

if grep -nE '://|@|--index|--find-links' constraints.txt constraints-zig.txt; then
    echo 'pins.sh: an address got into the pins, see above' >&2
    exit 1
fi
