#!/bin/sh
# Measures two sides with `isobench ab`, as root where that can be had. The verdict is the next script's: here
# only a run that is none fails.
#
#   GATE_A, GATE_B   the sides, by their names in the matrix
#   GATE_MATRIX, GATE_DETECT, GATE_POLICY, GATE_ARGS, GATE_OUT, GATE_COMMAND   as in action.yml
set -euf

out=${GATE_OUT:-isobench-gate}
set -- ab --a "$GATE_A" --b "$GATE_B" --out "$out"
[ -z "${GATE_DETECT:-}" ] || set -- "$@" --detect "$GATE_DETECT"
[ -z "${GATE_POLICY:-}" ] || set -- "$@" --policy "$GATE_POLICY"
[ -z "${GATE_MATRIX:-}" ] || set -- "$@" "$GATE_MATRIX"
# Split at blanks, and in no other way: nothing in it is executed or expanded.
# shellcheck disable=SC2086
set -- "$@" ${GATE_ARGS:-}
# With its whole path: sudo looks for commands in places of its own.
isobench=$(command -v "${GATE_COMMAND:-isobench}") || {
    echo "error: ${GATE_COMMAND:-isobench}: there is no such command" >&2
    exit 2
}
set -- "$isobench" "$@"

if [ "$(id -u)" -ne 0 ] && sudo -n true 2> /dev/null; then
    set -- sudo -n --preserve-env=ISOBENCH_STATE "$@"
fi

code=0
"$@" > /dev/null || code=$?
case $code in
    0 | 1 | 3 | 4) ;;
    *) exit "$code" ;;
esac
if [ ! -f "$out/run.json" ]; then
    # 1 would be a regression, and is what sudo says of a command that it could not start.
    [ "$code" -ne 1 ] || code=2
    exit "$code"
fi
