#!/bin/sh
# Judges the run in GATE_OUT: prints the verdict, with annotations and the summary of the step, writes it for
# people and programs beside the results, and ends with the exit code of the gate; with 4 where there is no
# whole verdict, and with 2 where isobench could not be started.
#
#   GATE_OUT, GATE_COMMAND   as in action.yml
set -euf

# Never 1 or 0 by accident: the one would be a regression, the other a pass.
fail() {
    echo "error: $2" >&2
    [ -z "${3:-}" ] || echo "remedy: $3" >&2
    exit "$1"
}

out=${GATE_OUT:-isobench-gate}
out=${out%/}
isobench=${GATE_COMMAND:-isobench}

[ ! -e "$out.unmade" ] || fail 4 "$out: no run was made by the last ci/measure.sh, which says why" \
    "measure again; to hear of an older run in that folder: $isobench gate '$out'"
command -v "$isobench" > /dev/null || fail 2 "$isobench: there is no such command"

code=0
"$isobench" gate "$out" --markdown "$out.md" --junit "$out.xml" --github || code=$?
case $code in
    0 | 1 | 3 | 4) ;;
    *) exit "$code" ;;
esac

# Once more for programs. Both have to say the same: a Python that falls at its start ends with 1 as well.
again=0
said=$("$isobench" gate "$out" --json 2>&1 > "$out.json") || again=$?
value() {
    sed -n "s/^  \"$1\": \"\{0,1\}\([a-z0-9]*\)\"\{0,1\},\$/\1/p" "$out.json" || :
}
outcome=
[ "$again" -ne "$code" ] || [ "$(value exit_code)" != "$code" ] || outcome=$(value outcome)
[ -n "$outcome" ] || fail 4 \
    "$out.json: no whole verdict: isobench gate ended with $code and then, with --json, with $again${said:+: $said}" \
    "once the disk has room and isobench starts: $isobench gate '$out'"

printf '%s\n' "outcome=$outcome" "exit-code=$code" "results=$out" \
    "markdown=$out.md" "junit=$out.xml" "json=$out.json" >> "${GITHUB_OUTPUT:-/dev/null}" \
    || fail 4 "$GITHUB_OUTPUT: the outputs of the step cannot be written"
exit "$code"
