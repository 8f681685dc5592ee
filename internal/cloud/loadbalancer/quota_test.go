package loadbalancer

import (
	"strings"
	"testing"
)

func TestQuota(t *testing.T) {
	a := newAPI(t)
	a.service.cfg.Quota = 1
	a.id("POST", "", validBody)
	a.call("POST", "", validBody, 409) // a repetition is told as such
	another := strings.Replace(validBody, `"one"`, `"two"`, 1)
	if answer := a.call("POST", "", another, 422); answer["slug"] != "quota_exceeded" || !strings.Contains(answer["message"].(string), "has 1 and may have 1") {
		t.Errorf("refused with %v", answer)
	}
	a.service.cfg.Quota = 2
	a.id("POST", "", another)
}
