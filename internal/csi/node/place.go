package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Place is which VM this is, and where.
type Place struct {
	InstanceID string `json:"uuid"`
	Zone       string `json:"availability_zone"`
}

// findPlace asks the cloud's metadata service until it answers: without that the node can do nothing.
func findPlace(ctx context.Context, url string) (Place, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		p, err := askMetadata(ctx, url)
		if err == nil {
			return p, nil
		}
		slog.Warn("the cloud's metadata service does not say which VM this is; trying again", "error", err)
		select {
		case <-ctx.Done():
			return Place{}, err
		case <-time.After(pause):
		}
	}
}

func askMetadata(ctx context.Context, url string) (p Place, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return p, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return p, fmt.Errorf("%s: %s", url, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p); err != nil {
		return p, err
	}
	if p.InstanceID == "" || p.Zone == "" {
		return p, errors.New("the metadata has no uuid or no availability_zone")
	}
	return p, nil
}
