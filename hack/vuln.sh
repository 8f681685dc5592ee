#!/usr/bin/env bash
# make vuln: govulncheck with the Go vulnerability database, which module proxies serve too (golang.org/x/vulndb). Where neither tool nor
# database can be had, it says so and fails nothing. It fails for what a newer module mends; a newer Go is up to the machine, and what
# nobody has mended yet (fixed in N/A) is only shown.
set -uo pipefail
cd "$(dirname "$0")/.."
not_run() {
  printf '*** govulncheck was NOT RUN: %s ***\n' "$1"
  exit 0
}
tool=$(go tool -modfile=hack/vuln/go.mod -n govulncheck) || not_run "its modules cannot be had (no network?)"
database=$(cd / && timeout 300 go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\s*"Dir": "\(.*\)",$/\1/p')
[ -d "$database/data/osv" ] || not_run "the vulnerability database cannot be had (no network?)"
echo "database ${database##*@}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$tool" -db "file://$database/data/osv" ./cmd/... >"$log" 2>&1
code=$?
if [ $code -ne 0 ] && [ $code -ne 3 ]; then # 3: there are findings
  cat "$log"
  exit $code
fi
found=$(awk '/^Vulnerability #/ {id = $3} /^    Found in:/ {at = $3} /^    Fixed in:/ {print id, at, "fixed in", $3}' "$log")
[ -z "$found" ] && echo "no known vulnerability is reached" && exit 0
echo "$found"
if grep -v '@go1\.' <<<"$found" | grep -qv 'fixed in N/A$'; then
  echo "raise these modules (all findings: go tool -modfile=hack/vuln/go.mod govulncheck ./cmd/...)"
  exit 1
fi
echo "none of them is mended by a newer module: those in Go's own library by a Go newer than $(go env GOVERSION), the others by nobody yet"
