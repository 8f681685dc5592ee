package iam

import (
	"context"

	"magalu.cloud/mke/internal/cloud/store"
)

// list returns the rows of an answer; never nil, so that it encodes as a list.
func list[T any](ctx context.Context, q store.Queryer, scan func(store.Scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := store.Rows(ctx, q, scan, query, args...)
	return append([]T{}, rows...), err
}
