package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Scanner is a row of a result.
type Scanner interface{ Scan(dest ...any) error }

// Rows returns all rows of a query, each as scan reads it.
func Rows[T any](ctx context.Context, q Queryer, scan func(Scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		all = append(all, item)
	}
	return all, rows.Err()
}

// Row returns the first row of a query as scan reads it, or ErrNotFound.
func Row[T any](ctx context.Context, q Queryer, scan func(Scanner) (T, error), query string, args ...any) (T, error) {
	item, err := scan(q.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return item, err
}

// Text reads rows of one text.
func Text(row Scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}

// Count returns the number that is a query's one answer.
func Count(ctx context.Context, q Queryer, query string, args ...any) (n int, err error) {
	err = q.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// Set is the argument of a condition like `id IN (SELECT value FROM json_each(?))`.
func Set(values []string) string {
	text, _ := json.Marshal(values) // cannot fail
	return string(text)
}
