package mkeapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"magalu.cloud/mke/internal/problem"
)

// clusterRequest is the published ClusterRequest. Fields that the published contract calls deprecated are accepted and have no effect.
// So is every cni but none: older clients and the contract's own examples send some.
type clusterRequest struct {
	Name               string            `json:"name" doc:"1 to 63 lower-case letters, digits and dashes, beginning with a letter; unique among the tenant's clusters" example:"meu-cluster"`
	Version            *string           `json:"version,omitempty" doc:"Kubernetes version; the latest if omitted" example:"v1.34.2"`
	Description        *string           `json:"description,omitempty" doc:"At most 255 characters"`
	NodePools          []nodePoolRequest `json:"node_pools,omitempty"`
	AllowedCIDRs       []string          `json:"allowed_cidrs,omitempty" doc:"Networks that may reach the API server; everyone if empty"`
	ClusterIPv4CIDR    *string           `json:"cluster_ipv4_cidr,omitempty" doc:"Addresses of Pods, a /24 of it for each node; 192.168.0.0/16 if omitted"`
	ServicesIPv4CIDR   *string           `json:"services_ipv4_cidr,omitempty" doc:"Addresses of Services; 10.96.0.0/12 if omitted"`
	Network            *networkRequest   `json:"network,omitempty"`
	Zone               *string           `json:"zone,omitempty" deprecated:"true"`
	CNI                *string           `json:"cni,omitempty" doc:"Network plugin: none for one of your own, else Calico" example:"calico"`
	EnabledBastion     *bool             `json:"enabled_bastion,omitempty" deprecated:"true"`
	EnabledServerGroup *bool             `json:"enabled_server_group,omitempty" deprecated:"true"`
	DeletionProtection *bool             `json:"deletion_protection,omitempty" doc:"Our extension: true refuses the cluster's deletion until it is false again"`
}

type networkRequest struct {
	SubnetIDs []string `json:"subnet_ids" nullable:"false" doc:"One subnet per availability zone, all in one VPC"`
}

type nodePoolRequest struct {
	Name              string            `json:"name" doc:"Same rule as the cluster's name; unique in the cluster" example:"nodepool01"`
	Flavor            string            `json:"flavor" example:"BV4-8-40"`
	Replicas          *int64            `json:"replicas" nullable:"false" doc:"Number of nodes, 0 or more" example:"1"`
	AutoScale         *autoScaleRequest `json:"auto_scale,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Taints            []taint           `json:"taints,omitempty"`
	MaxPodsPerNode    *int64            `json:"max_pods_per_node,omitempty" doc:"8 to 110; 110 if omitted"`
	AvailabilityZones []string          `json:"availability_zones,omitempty" deprecated:"true" doc:"Letters of zones; network.subnet_ids wins"`
	Network           *networkRequest   `json:"network,omitempty"`
	Tags              []string          `json:"tags,omitempty" deprecated:"true"`
}

// autoScaleRequest bounds a pool; what is null is taken from replicas.
type autoScaleRequest struct {
	MinReplicas *int64 `json:"min_replicas,omitempty" nullable:"true"`
	MaxReplicas *int64 `json:"max_replicas,omitempty" nullable:"true"`
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect" doc:"NoSchedule, PreferNoSchedule or NoExecute"`
}

type patchClusterRequest struct {
	AllowedCIDRs *[]string `json:"allowed_cidrs,omitempty" doc:"An empty list lets everyone in"`
	Description  *string   `json:"description,omitempty"`
	Version      *string   `json:"version,omitempty" doc:"A newer patch of the same minor version or the next minor version"`
	Protection   *bool     `json:"deletion_protection,omitempty" doc:"Our extension: true refuses the cluster's deletion until it is false again"`
}

type patchAddonRequest struct {
	Enabled *bool          `json:"enabled,omitempty" doc:"Whether the cluster has the addon"`
	Values  map[string]any `json:"values,omitempty" doc:"Settings to change; null brings back the default"`
}

type patchNodePoolRequest struct {
	Replicas  *int64            `json:"replicas,omitempty"`
	AutoScale *autoScaleRequest `json:"auto_scale,omitempty"`
	Flavor    *string           `json:"flavor,omitempty"`
	Version   *string           `json:"version,omitempty"`
}

// decode reads a body into T. What does not fit T's schema goes into problems; the rest of the body is read all the same, so that
// its values can be checked too and one answer names all that is wrong. It returns an error if nothing can be read at all.
// An optional field that is null counts as absent, unless it is an integer named in notNull.
func decode[T any](registry huma.Registry, raw []byte, problems *problem.List, notNull ...string) (*T, error) {
	var generic any
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, problem.New(problem.BodyMissing)
	}
	if err := json.Unmarshal(raw, &generic); err != nil {
		return nil, problem.New(problem.MalformedJSON, describeSyntax(err))
	}
	object, ok := generic.(map[string]any)
	if !ok {
		return nil, problem.New(problem.BodyMissing)
	}
	for _, field := range notNull {
		if value, ok := object[field]; ok && value == nil {
			problems.Add(field, problem.WrongType, "integer")
		}
	}
	var result huma.ValidateResult
	schema := registry.Schema(reflect.TypeFor[T](), true, "")
	huma.Validate(registry, schema, huma.NewPathBuffer([]byte{}, 0), huma.ModeWriteToServer, generic, &result)
	for _, err := range result.Errors {
		addStructural(problems, err)
	}
	into := new(T)
	// A value of a wrong type is reported above; Unmarshal skips it and reads on. Only numbers that are too large are not.
	var wrongType *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, into); errors.As(err, &wrongType) {
		if problems.Err() == nil {
			problems.Add(wrongType.Field, problem.NumberTooLarge)
		}
	} else if err != nil {
		return nil, problem.New(problem.MalformedJSON, describeSyntax(err))
	}
	return into, nil
}

func describeSyntax(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%s at byte %d", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
	}
	return "unreadable"
}

var (
	requiredMessage = regexp.MustCompile(`^expected required property (\S+) to be present$`)
	typeMessage     = regexp.MustCompile(`^expected (string|integer|number|boolean|array|object)$`)
)

// addStructural translates what huma's validation says into the catalogue.
func addStructural(problems *problem.List, err error) {
	var detail *huma.ErrorDetail
	if !errors.As(err, &detail) {
		return
	}
	field := strings.TrimPrefix(detail.Location, ".")
	if m := requiredMessage.FindStringSubmatch(detail.Message); m != nil {
		problems.Add(strings.TrimPrefix(field+"."+m[1], "."), problem.RequiredField)
		return
	}
	if m := typeMessage.FindStringSubmatch(detail.Message); m != nil {
		problems.Add(field, problem.WrongType, m[1])
		return
	}
	problems.Add(field, problem.UnknownField)
}
