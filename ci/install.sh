#!/bin/sh
# Installs the isobench that this file belongs to, in an environment of its own, and says where its command is.
# Ends with 2 where that fails: 1 would be a regression.
#
#   GATE_COMMAND   one that is installed already: nothing is done
set -eu

fail() {
    echo "error: $1" >&2
    exit 2
}

command=${GATE_COMMAND:-}
if [ -z "$command" ]; then
    place=${RUNNER_TEMP:-/tmp}/isobench-env
    python3 -m venv "$place" || fail "$place: python3 cannot make an environment there"
    "$place/bin/pip" install --quiet "$(dirname "$0")/.." || fail "$place: isobench cannot be installed there"
    command=$place/bin/isobench
fi
"$command" --version || fail "$command: isobench cannot be started"
echo "command=$command" >> "${GITHUB_OUTPUT:-/dev/stdout}" \
    || fail "$GITHUB_OUTPUT: the outputs of the step cannot be written"
