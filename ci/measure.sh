#!/bin/sh
# Measures two sides with `isobench ab`, as root where that can be had. The verdict is the next script's: here
# only a run that is none fails. Until there is one, GATE_OUT.unmade stands beside the folder, and the verdict is
# none: whatever is in the folder then is not what was to be measured.
#
#   GATE_A, GATE_B   the sides, by their names in the matrix
#   GATE_MATRIX, GATE_DETECT, GATE_POLICY, GATE_ARGS, GATE_OUT, GATE_COMMAND   as in action.yml
set -euf

# 2: 1 would be a regression, and is what shells and many commands end with by themselves.
fail() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "remedy: $2" >&2
    exit 2
}

out=${GATE_OUT:-isobench-gate}
out=${out%/}
{ mkdir -p "$(dirname "$out")" && echo "no run was made" > "$out.unmade"; } \
    || fail "$out: the results cannot be written beside it"
[ -n "${GATE_A:-}" ] || fail "GATE_A: the baseline is not named"
[ -n "${GATE_B:-}" ] || fail "GATE_B: the candidate is not named"

if [ -e "$out" ] || [ -L "$out" ]; then
    taken=$(ls -A "$out") || fail "$out: the folder for the results cannot be read"
    [ -z "$taken" ] || fail "$out: the folder for the results is not empty; an older run in it is not this one" \
        "rm -r '$out', or name another folder in GATE_OUT (\`out\` of the action)"
fi
rm -f "$out.md" "$out.xml" "$out.json" || fail "$out: the files of an older verdict cannot be removed beside it"

set -- ab --a "$GATE_A" --b "$GATE_B" --out "$out"
[ -z "${GATE_DETECT:-}" ] || set -- "$@" --detect "$GATE_DETECT"
[ -z "${GATE_POLICY:-}" ] || set -- "$@" --policy "$GATE_POLICY"
[ -z "${GATE_MATRIX:-}" ] || set -- "$@" "$GATE_MATRIX"
# Split at blanks, and in no other way: nothing in it is executed or expanded.
# shellcheck disable=SC2086
set -- "$@" ${GATE_ARGS:-}
# With its whole path: sudo looks for commands in places of its own.
isobench=$(command -v "${GATE_COMMAND:-isobench}") \
    || fail "${GATE_COMMAND:-isobench}: there is no such command"
set -- "$isobench" "$@"

sudo=
if [ "$(id -u)" -ne 0 ] && sudo -n true 2> /dev/null; then
    sudo=yes
    set -- sudo -n --preserve-env=ISOBENCH_STATE "$@"
fi
# What a script starts with & ignores these, and so would all that isobench starts.
if env --default-signal=INT,QUIT true 2> /dev/null; then
    set -- env --default-signal=INT,QUIT "$@"
fi

# A job is cancelled by a signal to this script alone, and a shell hears none while it waits for a command that
# is not in the background. isobench then ends what it started, and keeps what it measured.
signalled=
stop() {
    signalled=yes
    kill -TERM "$running" 2> /dev/null || sudo -n kill -TERM "$running" || :
}
"$@" > /dev/null &
running=$!
trap stop INT TERM HUP
code=0
wait "$running" || code=$?
while [ -n "$signalled" ]; do # it was the wait that ended
    signalled=
    code=0
    wait "$running" || code=$?
done

if [ -n "$sudo" ] && [ -d "$out" ]; then # else no later job could remove it
    sudo -n chown -hR "$(id -u):$(id -g)" "$out" || :
fi
if [ -f "$out/run.json" ]; then
    # However it ended: what was measured is worth keeping.
    echo "results=$out" >> "${GITHUB_OUTPUT:-/dev/null}" \
        || fail "$GITHUB_OUTPUT: the outputs of the step cannot be written"
fi
case $code in
    0 | 1 | 3 | 4) ;;
    *) exit "$code" ;;
esac
if [ ! -f "$out/run.json" ]; then
    [ "$code" -ne 0 ] || fail "$out: isobench ab ended with 0 and left no run there" \
        "take --out, --plan and --help out of GATE_ARGS (\`args\` of the action)"
    # What sudo says of a command that it could not start.
    [ "$code" -ne 1 ] || code=2
    exit "$code"
fi
rm -f "$out.unmade" || fail "$out.unmade: cannot be removed"
