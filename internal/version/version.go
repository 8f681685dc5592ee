// Package version says which build of MKE this is.
package version

// Version of the build; release builds set it with -ldflags "-X magalu.cloud/mke/internal/version.Version=…".
var Version = "v0.1.0-dev"
