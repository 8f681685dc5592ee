package dataplane

// For the tests against the kernel, which live outside of the package.
var (
	OpenNetns       = openNetns
	EnsureAddresses = ensureAddresses
	BridgeName      = bridgeName
	PortName        = portName
	DeleteLink      = deleteLink
	FindLink        = findLink
)

const (
	VMLink   = "eth0"
	EdgeLink = edgeLink
)
