#!/bin/sh
# Installs the isobench that this file belongs to, in an environment of its own, and says where its command is.
#
#   GATE_COMMAND   one that is installed already: nothing is done
set -eu

command=${GATE_COMMAND:-}
if [ -z "$command" ]; then
    place=${RUNNER_TEMP:-/tmp}/isobench-env
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet "$(dirname "$0")/.."
    command=$place/bin/isobench
fi
"$command" --version
echo "command=$command" >> "${GITHUB_OUTPUT:-/dev/stdout}"
