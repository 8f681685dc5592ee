package loadbalancer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

//go:generate go run ./gendocs annotations.go ../../../docs/reference/annotations.md

// Annotations of Services. The comments are the reference for users: docs/reference/annotations.md is generated from them.
const (
	// Who can reach the load balancer: `external` gives it a public IP, `internal` only an address of the cluster's VPC.
	// A change on a load balancer that exists is refused, because its address would change: delete the Service and create it again.
	//
	// Values: `external`, `internal`
	// Default: `external`
	// Source: published
	AnnotationVisibility = "magalu.cloud/load-balancer-visibility"

	// What becomes of the public IP when the Service is deleted, or its cluster: `delete` releases it, `retain` keeps it in the tenant,
	// where `spec.loadBalancerIP` of another Service can name it. May be changed at any time.
	//
	// Values: `delete`, `retain`
	// Default: `delete`; `retain` if the IP is older than the Service, because `spec.loadBalancerIP` or `magalu.cloud/load-balancer-id` brought it
	// Source: published
	AnnotationReclaimPolicy = "magalu.cloud/public-ip-reclaim-policy"

	// Takes over a load balancer that exists instead of making a new one. It gets the Service's name in the cloud, its listeners, backends,
	// health checks and ACLs become what the Service says, and it is deleted with the Service. Refused if it belongs to a
	// cluster or another Service, or is in another VPC or of another visibility.
	//
	// Values: id or name of a load balancer of the tenant
	// Default: none, a new load balancer is made
	// Source: this project
	AnnotationAdopt = "magalu.cloud/load-balancer-id"

	// How often each node is checked, in seconds.
	//
	// Values: 1 to 300
	// Default: 2 (the load balancer product's own default, 30, would take half a minute and more to notice a dead node)
	// Source: this project
	AnnotationCheckInterval = "magalu.cloud/health-check-interval-seconds"

	// How long a check may take, in seconds.
	//
	// Values: 1 to 60
	// Default: 1
	// Source: this project
	AnnotationCheckTimeout = "magalu.cloud/health-check-timeout-seconds"

	// How many checks in a row must succeed until a node gets connections again.
	//
	// Values: 1 to 10
	// Default: 1
	// Source: this project
	AnnotationCheckHealthy = "magalu.cloud/health-check-healthy-threshold"

	// How many checks in a row must fail until a node gets no new connections.
	//
	// Values: 1 to 10
	// Default: 2
	// Source: this project
	AnnotationCheckUnhealthy = "magalu.cloud/health-check-unhealthy-threshold"
)

// Values of AnnotationReclaimPolicy.
const (
	reclaimDelete = "delete"
	reclaimRetain = "retain"
)

// settings are what the annotations of a Service say.
type settings struct {
	visibility, reclaim, adopt            string
	interval, timeout, healthy, unhealthy int
}

// parse returns a refusal that names the annotation and what is allowed.
func parse(svc *corev1.Service) (settings, error) {
	var s settings
	var err error
	if s.visibility, err = choice(svc, AnnotationVisibility, mgc.VisibilityExternal, mgc.VisibilityInternal); err != nil {
		return s, err
	}
	s.adopt = strings.TrimSpace(svc.Annotations[AnnotationAdopt])
	policies := []string{reclaimDelete, reclaimRetain}
	if broughtIP(svc) {
		slices.Reverse(policies)
	}
	if s.reclaim, err = choice(svc, AnnotationReclaimPolicy, policies...); err != nil {
		return s, err
	}
	for _, n := range []struct {
		annotation   string
		value        *int
		normal, most int
	}{
		{AnnotationCheckInterval, &s.interval, 2, 300},
		{AnnotationCheckTimeout, &s.timeout, 1, 60},
		{AnnotationCheckHealthy, &s.healthy, 1, 10},
		{AnnotationCheckUnhealthy, &s.unhealthy, 2, 10},
	} {
		if *n.value, err = number(svc, n.annotation, n.normal, n.most); err != nil {
			return s, err
		}
	}
	return s, nil
}

// broughtIP is true if the public IP existed before the Service did.
func broughtIP(svc *corev1.Service) bool {
	return svc.Spec.LoadBalancerIP != "" || svc.Annotations[AnnotationAdopt] != ""
}

// keepsIP decides at the Service's end. What cannot be understood keeps the IP: it can still be deleted by hand.
func keepsIP(svc *corev1.Service) bool {
	switch svc.Annotations[AnnotationReclaimPolicy] {
	case reclaimDelete:
		return false
	case "":
		return broughtIP(svc)
	default:
		return true
	}
}

// choice returns the annotation's value, the first one allowed if it is not set.
func choice(svc *corev1.Service, annotation string, allowed ...string) (string, error) {
	value := svc.Annotations[annotation]
	switch {
	case value == "":
		return allowed[0], nil
	case slices.Contains(allowed, value):
		return value, nil
	}
	return "", refuse("annotation %s: %q is not one of: %s", annotation, value, strings.Join(allowed, ", "))
}

func number(svc *corev1.Service, annotation string, normal, most int) (int, error) {
	text := svc.Annotations[annotation]
	if text == "" {
		return normal, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, refuse("annotation %s: %q is not a whole number from 1 to %d", annotation, text, most)
	}
	return n, nil
}

// refusal is a wish that a person has to change; its text is for that person.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }
