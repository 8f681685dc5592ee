// Package documents has the OpenAPI documents of the cloud's products, NAME.json each. A test of package cloud makes them of the routes, of
// what handlers read and of the types that they answer with, with -update, and fails when they are out of date.
package documents

import "embed"

// Files are the documents.
//
//go:embed *.json
var Files embed.FS
