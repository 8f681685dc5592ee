package metadata

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// handler serves the instances of one VPC. Of EC2's format there is only the
// list of entries, and it is empty: cloud-init asks for it also on OpenStack, and
// would try again for seconds when it got a 404.
func (s *Service) handler(vpcID string) http.Handler {
	r := chi.NewRouter()
	document := func(fn func(Instance) (string, []byte)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { s.document(w, r, vpcID, fn) }
	}
	for _, path := range []string{"/openstack", "/openstack/"} {
		r.Get(path, document(text("latest")))
	}
	for _, path := range []string{"/openstack/{version}", "/openstack/{version}/"} {
		r.Get(path, document(text("meta_data.json", "network_data.json", "user_data", "vendor_data.json")))
	}
	r.Get("/latest/meta-data/", document(text()))
	r.Get("/openstack/{version}/meta_data.json", document(metaData))
	r.Get("/openstack/{version}/network_data.json", document(networkData))
	r.Get("/openstack/{version}/user_data", document(userData))
	r.Get("/openstack/{version}/vendor_data.json", document(empty))
	r.Get("/openstack/{version}/vendor_data2.json", document(empty))
	return r
}

func (s *Service) document(w http.ResponseWriter, r *http.Request, vpcID string, fn func(Instance) (string, []byte)) {
	instance, err := s.find(r, vpcID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		http.NotFound(w, r)
		return
	case err != nil: // cloud-init tries again
		s.Logger.Error("metadata: instance could not be found out", "vpc", vpcID, "client", r.RemoteAddr, "error", err)
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	contentType, body := fn(instance)
	if body == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) // the instance may be gone
}

const (
	jsonType  = "application/json"
	plainType = "text/plain; charset=utf-8"
)

func text(lines ...string) func(Instance) (string, []byte) {
	return func(Instance) (string, []byte) { return plainType, []byte(strings.Join(lines, "\n")) }
}

func empty(Instance) (string, []byte) { return jsonType, []byte("{}") }

// userData is served byte for byte.
func userData(i Instance) (string, []byte) { return "application/octet-stream", i.UserData }

func encode(v any) (string, []byte) { return jsonType, httpapi.Encode(v) }

func metaData(i Instance) (string, []byte) {
	keys := map[string]string{}
	if i.SSHPublicKey != "" {
		keys[i.SSHKeyName] = i.SSHPublicKey
	}
	return encode(map[string]any{
		"uuid": i.ID, "name": i.Name, "hostname": i.Hostname, "project_id": i.TenantID,
		"availability_zone": i.AvailabilityZone, "region": i.Region, "local_ipv4": i.IP.String(),
		"launch_index": 0, "public_keys": keys, "meta": map[string]string{},
	})
}

func networkData(i Instance) (string, []byte) {
	services := []map[string]string{}
	for _, server := range i.Nameservers {
		services = append(services, map[string]string{"type": "dns", "address": server})
	}
	mask := net.IP(net.CIDRMask(i.Prefix.Bits(), 32)).String()
	return encode(map[string]any{
		"links": []map[string]any{{"id": "eth0", "type": "phy", "ethernet_mac_address": i.MAC, "mtu": 1500}},
		"networks": []map[string]any{{
			"id": "network0", "type": "ipv4", "link": "eth0", "network_id": "network0",
			"ip_address": fmt.Sprintf("%s/%d", i.IP, i.Prefix.Bits()), "netmask": mask,
			"routes": []map[string]string{{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": i.Gateway.String()}},
		}},
		"services": services,
	})
}
