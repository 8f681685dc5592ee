#!/usr/bin/env bash
# make test: phases with their durations, what says most about a failed phase at the end, exit status of the worst.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
unit_tmp=$(mktemp -d /tmp/mkeXXXX) # what killed tests leave; short, because sockets are in there
chmod 755 "$unit_tmp"              # PostgreSQL is another user
vuln=
trap '[ -z "$vuln" ] || kill -- "-$vuln" 2>/dev/null; rm -rf "$logs" "$unit_tmp"' EXIT
failed=()

phase() { # phase NAME COMMAND...: keeps the log
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

start_vuln() { # in a session of its own: the kernel weighs sessions first, niceness only inside of one
  setsid bash -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 19 make --no-print-directory vuln' >"$logs/vuln.out" 2>&1 &
  vuln=$!
}

finish_vuln() {
  local code
  wait "$vuln"
  code=$?
  vuln=
  cat "$logs/vuln.out"
  return $code
}

# steps shows the verdicts of a log of `go test -v`: the first two levels, of the next two what took 10 s and more, and
# all that failed or was skipped.
steps() {
  grep -E '^ *--- (PASS|FAIL|SKIP)' "$1" | awk '{ match($0, /^ */); took = $NF; gsub(/[(s)]/, "", took) } RLENGTH <= 4 || RLENGTH <= 12 && took + 0 >= 10 || !/PASS/'
}

# show_failures prints about a hundred lines in all, because more is not read.
show_failures() {
  local name lines=$((90 / ${#failed[@]}))
  for name in "${failed[@]}"; do
    printf '\n===== %s failed =====\n' "$name"
    go run ./hack/failures --lines "$lines" "$logs/$name.log" >"$logs/excerpt" 2>&1
    cat "$logs/excerpt"
    lines=$((lines - $(wc -l <"$logs/excerpt")))
    printf -- '----- end of its log -----\n'
    tail -n "$((lines > 10 ? lines : 10))" "$logs/$name.log" | cut -c1-400
  done
}

phase setup make --no-print-directory setup-test &&
  phase build make --no-print-directory build &&
  phase images make --no-print-directory images &&
  phase unit env TMPDIR="$unit_tmp" make --no-print-directory test-unit
start_vuln # beside the region's tests, which wait a lot
[ ${#failed[@]} -eq 0 ] || [ "${failed[0]}" = unit ] && phase e2e make --no-print-directory test-e2e
phase vuln finish_vuln
grep 'NOT RUN' "$logs/vuln.log"
[ -f "$logs/images.log" ] && grep -E '^built|from the cache' "$logs/images.log" | tail -n 15
[ -f "$logs/e2e.log" ] && steps "$logs/e2e.log"
if [ ${#failed[@]} -gt 0 ]; then
  show_failures
  exit 1
fi
printf '\nall tests passed in %ds\n' "$SECONDS"
