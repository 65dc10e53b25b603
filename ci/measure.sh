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
set -- "${GATE_COMMAND:-isobench}" "$@" ${GATE_ARGS:-}

if [ "$(id -u)" -ne 0 ] && sudo -n true 2> /dev/null; then
    set -- sudo -n --preserve-env=ISOBENCH_STATE "$@"
fi

code=0
"$@" > /dev/null || code=$?
case $code in
    0 | 1 | 3 | 4) ;;
    *) exit "$code" ;;
esac
[ -f "$out/run.json" ] || exit "$code"
