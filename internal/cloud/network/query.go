package network

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/netip"
)

func exec(ctx context.Context, tx *sql.Tx, text string, args ...any) error {
	_, err := tx.ExecContext(ctx, text, args...)
	return err
}

// addr and prefix read columns that we wrote; the empty string is the zero value.
type addr struct{ *netip.Addr }

func (a addr) Scan(v any) error {
	text, _ := v.(string)
	if text == "" {
		*a.Addr = netip.Addr{}
		return nil
	}
	return a.UnmarshalText([]byte(text))
}

type prefix struct{ *netip.Prefix }

func (p prefix) Scan(v any) error {
	text, _ := v.(string)
	return p.UnmarshalText([]byte(text))
}

type addrList struct{ list *[]netip.Addr }

func (a addrList) Scan(v any) error {
	text, _ := v.(string)
	return json.Unmarshal([]byte(text), a.list)
}

func addrListText(list []netip.Addr) string {
	if list == nil {
		list = []netip.Addr{}
	}
	text, _ := json.Marshal(list) // cannot fail
	return string(text)
}

// inTx runs fn in tx, or in a transaction of its own when tx is nil.
func (s *Service) inTx(ctx context.Context, tx *sql.Tx, fn func(*sql.Tx) error) error {
	if tx != nil {
		return fn(tx)
	}
	return s.db.Tx(ctx, fn)
}
