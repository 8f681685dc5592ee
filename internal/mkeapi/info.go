package mkeapi

import "magalu.cloud/mke/internal/catalog"

type flavorWithSKU struct {
	FlavorResponse
	SKU string `json:"sku"`
}

type flavorsAvailable struct {
	NodePool     []flavorWithSKU `json:"nodepool" nullable:"false"`
	ControlPlane []flavorWithSKU `json:"controlplane" nullable:"false"`
}

type versionResponse struct {
	Version             string              `json:"version"`
	Deprecated          bool                `json:"deprecated"`
	MinimumRequirements minimumRequirements `json:"minimumRequirements"`
}

type minimumRequirements struct {
	Disk int `json:"disk" doc:"GB"`
	RAM  int `json:"ram" doc:"GB"`
	VCPU int `json:"vcpu"`
}

func minimumOf(catalog.Version) minimumRequirements {
	return minimumRequirements{Disk: catalog.MinimumDiskGB, RAM: catalog.MinimumRAMGB, VCPU: catalog.MinimumVCPU}
}
