package mkeapi

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"magalu.cloud/mke/internal/problem"
)

// Bounds of requests. Those of max_pods_per_node and names are published, the others are ours.
const (
	maxDescription  = 255
	maxReplicas     = 2000
	maxNodePools    = 50
	maxAllowedCIDRs = 256
	maxLabels       = 64
	maxTaints       = 64
	maxTags         = 64
	minMaxPods      = 8
	maxMaxPods      = 110
)

var namePattern = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// reservedDomains belong to Kubernetes or to the platform: users may set no labels or taints in them.
var reservedDomains = []string{"kubernetes.io", "k8s.io", "magalu.cloud"}

func checkName(l *problem.List, field, name string) {
	if !namePattern.MatchString(name) {
		l.Add(field, problem.InvalidName)
	}
}

func checkDescription(l *problem.List, description *string) {
	if description == nil {
		return
	}
	if utf8.RuneCountInString(*description) > maxDescription {
		l.Add("description", problem.DescriptionTooLong, maxDescription)
	}
	checkText(l, "description", *description)
}

// checkText refuses what the database cannot keep.
func checkText(l *problem.List, field, text string) {
	if strings.ContainsRune(text, 0) {
		l.Add(field, problem.InvalidText)
	}
}

// checkTags checks the deprecated tags and zones of a node pool, which hold any text.
func checkTags(l *problem.List, field string, tags []string) {
	if len(tags) > maxTags {
		l.Add(field, problem.TooMany, maxTags)
		return
	}
	for i, tag := range tags {
		at := fmt.Sprintf("%s[%d]", field, i)
		if utf8.RuneCountInString(tag) > maxDescription {
			l.Add(at, problem.DescriptionTooLong, maxDescription)
		}
		checkText(l, at, tag)
	}
}

func (s *Server) checkVersion(l *problem.List, field string, version *string) {
	if version != nil && !s.catalog.HasVersion(*version) {
		l.Add(field, problem.UnknownVersion, *version, strings.Join(s.catalog.VersionNames(), ", "))
	}
}

func (s *Server) checkFlavor(l *problem.List, field, flavor string) {
	if _, ok := s.catalog.Flavor(flavor); !ok {
		l.Add(field, problem.UnknownFlavor, flavor)
	}
}

// checkCluster checks all of a new cluster that can be checked without asking anybody.
func (s *Server) checkCluster(l *problem.List, req *clusterRequest) clusterCIDRs {
	checkName(l, "name", req.Name)
	checkDescription(l, req.Description)
	s.checkVersion(l, "version", req.Version)
	checkAllowedCIDRs(l, req.AllowedCIDRs)
	s.checkNodePools(l, req.NodePools)
	cidrs := checkClusterCIDRs(l, req.podsCIDR(), req.servicesCIDR())
	nodes := int64(0)
	for i := range req.NodePools {
		nodes += req.NodePools[i].mostNodes()
	}
	cidrs.checkRoom(l, "cluster_ipv4_cidr", nodes)
	return cidrs
}

// checkNodePools checks the node pools of a new cluster, each alone and their names together.
func (s *Server) checkNodePools(l *problem.List, pools []nodePoolRequest) {
	if len(pools) > maxNodePools {
		l.Add("node_pools", problem.TooMany, maxNodePools)
		return
	}
	names := map[string]bool{}
	for i := range pools {
		prefix := fmt.Sprintf("node_pools[%d].", i)
		s.checkNodePool(l, prefix, &pools[i])
		if name := pools[i].Name; names[name] {
			l.Add(prefix+"name", problem.DuplicatePoolName, name)
		} else {
			names[name] = true
		}
	}
}

func (s *Server) checkNodePool(l *problem.List, prefix string, p *nodePoolRequest) {
	checkName(l, prefix+"name", p.Name)
	s.checkFlavor(l, prefix+"flavor", p.Flavor)
	if p.Replicas == nil {
		l.Add(prefix+"replicas", problem.InvalidReplicas, maxReplicas)
	}
	checkReplicas(l, prefix+"replicas", p.Replicas)
	checkAutoScale(l, prefix, p.AutoScale, p.Replicas)
	checkLabels(l, prefix+"labels", p.Labels)
	checkTaints(l, prefix+"taints", p.Taints)
	checkTags(l, prefix+"tags", p.Tags)
	checkTags(l, prefix+"availability_zones", p.AvailabilityZones)
	if m := p.MaxPodsPerNode; m != nil && (*m < minMaxPods || *m > maxMaxPods) {
		l.Add(prefix+"max_pods_per_node", problem.InvalidMaxPods)
	}
}

func checkReplicas(l *problem.List, field string, n *int64) {
	if n != nil && (*n < 0 || *n > maxReplicas) {
		l.Add(field, problem.InvalidReplicas, maxReplicas)
	}
}

// checkAutoScale checks the bounds of a pool and that the number of nodes, if given, lies between them.
func checkAutoScale(l *problem.List, prefix string, a *autoScaleRequest, replicas *int64) {
	if a == nil {
		return
	}
	field := prefix + "auto_scale"
	checkReplicas(l, field+".min_replicas", a.MinReplicas)
	checkReplicas(l, field+".max_replicas", a.MaxReplicas)
	if l.Has(field+".min_replicas") || l.Has(field+".max_replicas") || l.Has(prefix+"replicas") || replicas == nil {
		return
	}
	lowest, highest := or(a.MinReplicas, *replicas), or(a.MaxReplicas, *replicas)
	switch {
	case lowest > highest:
		l.Add(field, problem.MinAboveMax, lowest, highest)
	case *replicas < lowest || *replicas > highest:
		l.Add(prefix+"replicas", problem.ReplicasOutOfRange, *replicas, lowest, highest)
	}
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func checkLabels(l *problem.List, field string, labels map[string]string) {
	if len(labels) > maxLabels {
		l.Add(field, problem.TooMany, maxLabels)
	}
	for key, value := range labels {
		at := field + "." + key
		if reasons := validation.IsQualifiedName(key); len(reasons) > 0 {
			l.Add(at, problem.InvalidLabel, key, reasons[0])
		} else if reasons := validation.IsValidLabelValue(value); len(reasons) > 0 {
			l.Add(at, problem.InvalidLabel, key, reasons[0])
		} else if isReserved(key) {
			l.Add(at, problem.ReservedLabel, key)
		}
	}
}

func checkTaints(l *problem.List, field string, taints []taint) {
	if len(taints) > maxTaints {
		l.Add(field, problem.TooMany, maxTaints)
	}
	seen := map[[2]string]bool{}
	for i, t := range taints {
		at := fmt.Sprintf("%s[%d]", field, i)
		if reasons := validation.IsQualifiedName(t.Key); len(reasons) > 0 {
			l.Add(at+".key", problem.InvalidTaint, reasons[0])
		} else if isReserved(t.Key) {
			l.Add(at+".key", problem.ReservedLabel, t.Key)
		}
		if reasons := validation.IsValidLabelValue(t.Value); len(reasons) > 0 {
			l.Add(at+".value", problem.InvalidTaint, reasons[0])
		}
		if t.Effect != "NoSchedule" && t.Effect != "PreferNoSchedule" && t.Effect != "NoExecute" {
			l.Add(at+".effect", problem.InvalidTaintEffect, t.Effect)
		}
		if pair := [2]string{t.Key, t.Effect}; seen[pair] {
			l.Add(at, problem.DuplicateTaint)
		} else {
			seen[pair] = true
		}
	}
}

// isReserved says whether a label's or taint's key lies in a reserved domain or below one.
func isReserved(key string) bool {
	domain, _, hasDomain := strings.Cut(key, "/")
	if !hasDomain {
		return false
	}
	for _, reserved := range reservedDomains {
		if domain == reserved || strings.HasSuffix(domain, "."+reserved) {
			return true
		}
	}
	return false
}
