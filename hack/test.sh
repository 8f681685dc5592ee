#!/usr/bin/env bash
# make test: phases with their durations, the log of a failed phase at the end, exit status of the worst.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=()

phase() { # phase NAME COMMAND...: streams a readable excerpt, keeps the whole log
  local name=$1 start=$SECONDS
  shift
  printf '==> %s\n' "$name"
  if "$@" >"$logs/$name.log" 2>&1; then
    printf '    ok  %s (%ds)\n' "$name" $((SECONDS - start))
    return 0
  fi
  printf '    ERR %s (%ds)\n' "$name" $((SECONDS - start))
  failed+=("$name")
  return 1
}

show_failures() {
  for name in "${failed[@]}"; do
    printf '\n===== %s failed =====\n' "$name"
    grep -n -E '^(---|\s+---) FAIL|^FAIL|^# |panic:|DATA RACE|^\s*\S+\.go:[0-9]+(:[0-9]+)?: ' "$logs/$name.log" | cut -c1-400 | tail -n 120
    printf -- '----- end of its log -----\n'
    tail -n 150 "$logs/$name.log"
  done
}

phase setup make --no-print-directory setup-test &&
  phase build make --no-print-directory build &&
  phase images make --no-print-directory images &&
  phase unit make --no-print-directory test-unit
[ ${#failed[@]} -eq 0 ] || [ "${failed[0]}" = unit ] && phase e2e make --no-print-directory test-e2e
phase vuln make --no-print-directory vuln
grep 'NOT RUN' "$logs/vuln.log"
[ -f "$logs/images.log" ] && grep -E 'built|cached' "$logs/images.log" | tail -n 40
[ -f "$logs/e2e.log" ] && grep -E '^\s*--- (PASS|FAIL|SKIP)' "$logs/e2e.log"
if [ ${#failed[@]} -gt 0 ]; then
  show_failures
  exit 1
fi
printf '\nall tests passed in %ds\n' "$SECONDS"
