package image

// clusterAPIPatches change what no flag reaches.
var clusterAPIPatches = []patch{
	// The managers first try to connect to a new cluster before it has an API server, and then only after this interval: half a minute of
	// every cluster's creation.
	clusterAPIPatch("controllers/clustercache/cluster_cache.go",
		"ConnectionCreationRetryInterval: 30 * time.Second", "ConnectionCreationRetryInterval: time.Second"),
	// How long an object rests after a reconciliation. With no rest, each of a machine's many writes makes the next one; a second (and 15 s of
	// a health check) is long where a new cluster waits for it.
	clusterAPIPatch("util/controller/builder.go", "rateLimitInterval := time.Second", "rateLimitInterval := 200 * time.Millisecond"),
	clusterAPIPatch("internal/controllers/machinehealthcheck/machinehealthcheck_controller.go",
		"rateLimit := 15 * time.Second", "rateLimit := 2 * time.Second"),
}

func clusterAPIPatch(file, old, replacement string) patch {
	return patch{Module: "sigs.k8s.io/cluster-api", File: file, Old: old, New: replacement}
}
