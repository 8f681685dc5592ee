// Package chart embeds the Helm chart of the platform, so that the mke binary installs exactly the chart it was built
// with.
package chart

import "embed"

//go:generate go run magalu.cloud/mke/hack/gen-capi -out capi

// Files holds the chart's files, with paths relative to the chart's folder.
//
//go:embed Chart.yaml values.yaml values.schema.json all:templates capi crd-bases
var Files embed.FS
