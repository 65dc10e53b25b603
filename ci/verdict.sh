#!/bin/sh
# Judges the run in GATE_OUT: prints the verdict, with annotations and the summary of the step, writes it for
# people and programs beside the results, and ends with the exit code of the gate.
#
#   GATE_OUT, GATE_COMMAND   as in action.yml
set -eu

out=${GATE_OUT:-isobench-gate}
out=${out%/}
isobench=${GATE_COMMAND:-isobench}

if [ -e "$out.unmade" ]; then
    echo "error: $out: no run was made by the last ci/measure.sh, which says why" >&2
    echo "remedy: measure again; to hear of an older run in that folder: $isobench gate '$out'" >&2
    exit 4
fi

code=0
"$isobench" gate "$out" --markdown "$out.md" --junit "$out.xml" --github || code=$?
case $code in
    0 | 1 | 3 | 4) ;;
    *) exit "$code" ;;
esac
"$isobench" gate "$out" --json > "$out.json" 2> /dev/null || :
outcome=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["outcome"])' < "$out.json")

cat >> "${GITHUB_OUTPUT:-/dev/null}" << END
outcome=$outcome
exit-code=$code
results=$out
markdown=$out.md
junit=$out.xml
json=$out.json
END
exit "$code"
