#!/usr/bin/env bash
# make generate: every generated file of the repository, from its source.
set -euo pipefail
cd "$(dirname "$0")/.."
tool() { go tool -modfile=hack/tools/go.mod "$@"; }
tool controller-gen object crd:crdVersions=v1 paths=./api/... output:crd:dir=deploy/chart/crd-bases
(cd internal/mkeapi/db && go tool -modfile=../../../hack/tools/go.mod sqlc generate)
go generate ./...
