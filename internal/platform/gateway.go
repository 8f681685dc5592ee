package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"magalu.cloud/mke/internal/cli"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/progress"
)

// productURL is what `mgc` calls.
func (r *region) productURL() string { return r.endpoint + "/" + r.Region + "/kubernetes" }

// gateway waits until the public entrance answers an authorised call, and points mgc at it.
func (r *region) gateway(ctx context.Context, ph *progress.Phase) error {
	httpClient, err := mgc.NewHTTPClient(r.paths.CAFile())
	if err != nil {
		return err
	}
	httpClient.Timeout = 5 * time.Second
	key := r.identities.tenant(userTenant).APIKey
	var last error
	err = poll(ctx, 200*time.Millisecond, 3*time.Minute, func() (bool, error) {
		last = askVersions(ctx, httpClient, r.productURL(), key)
		if last != nil {
			ph.Detail("%s", firstLine(last.Error()))
		}
		return last == nil, nil
	})
	if errors.Is(err, errPollTimeout) {
		return fmt.Errorf("the gateway does not answer: %w", last)
	}
	if err != nil {
		return err
	}
	err = cli.WriteConfig(r.paths.MgcConfig(), cli.Config{
		ServerURL: r.productURL(), Region: r.Region, CAFile: r.paths.CAFile(), APIKeyFile: r.paths.APIKeyFile(),
	})
	if err != nil {
		return err
	}
	return (&regionFile{Region: r.Region, Endpoint: r.endpoint}).save(r.paths)
}

func askVersions(ctx context.Context, client *http.Client, url, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/versions", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
