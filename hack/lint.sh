#!/usr/bin/env bash
# make lint: formatting, vet, golangci-lint, and generated files that no longer match their sources.
set -euo pipefail
cd "$(dirname "$0")/.."
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'gofmt -w these files:\n%s\n' "$unformatted"
  exit 1
fi
go vet ./...
go vet -tags e2e ./test/...
go tool -modfile=hack/lint/go.mod golangci-lint run ./...
before=$(git status --porcelain | sort)
hack/generate.sh
if [ "$before" != "$(git status --porcelain | sort)" ]; then
  echo "generated files have drifted: run make generate and commit what changed"
  git status --porcelain
  exit 1
fi
