package network

import (
	"errors"
	"testing"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func TestPublicIPQuota(t *testing.T) {
	f := newFakeService(t)
	ctx := t.Context()
	vpc, err := f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "a"})
	must(t, err)
	other, err := f.CreateVPC(ctx, VPC{TenantID: otherTenant, Name: "a"})
	must(t, err)
	f.cfg.PublicIPQuota = 1
	ip, err := f.CreatePublicIP(ctx, PublicIP{TenantID: testTenant, VPCID: vpc.ID})
	must(t, err)
	_, err = f.CreatePublicIP(ctx, PublicIP{TenantID: testTenant, VPCID: vpc.ID})
	var refused *httpapi.Error
	if !errors.As(err, &refused) || refused.Status != 422 || refused.Slug != "quota_exceeded" {
		t.Errorf("refused with %v", err)
	}
	_, err = f.CreatePublicIP(ctx, PublicIP{TenantID: otherTenant, VPCID: other.ID})
	must(t, err)
	must(t, f.DeletePublicIP(ctx, testTenant, ip.ID))
	_, err = f.CreatePublicIP(ctx, PublicIP{TenantID: testTenant, VPCID: vpc.ID})
	must(t, err)
}
