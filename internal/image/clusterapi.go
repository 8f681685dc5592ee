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
	// MachineSet, MachineDeployment and Cluster look at all of their machines for an event of any one. Without a rest in
	// proportion to how long a look took, their work grows with the square of a pool's size.
	clusterAPIPatch("util/controller/controller.go", "	result, err := r.reconciler.Reconcile(ctx, req)\n	if err != nil {", `	result, err := r.reconciler.Reconcile(ctx, req)
	rest := reconcileCacheEntry{Request: req, ReconcileAfter: time.Now().Add(min(4*time.Since(reconcileStartTime), 10*time.Second))}
	if entry, ok := r.reconcileCache.Has(rest.Key()); !ok || entry.ReconcileAfter.Before(rest.ReconcileAfter) {
		r.reconcileCache.Add(rest)
	}
	if err != nil {`),
	// A Machine that waits for its Node looked at all Nodes each time. There always is an index.
	clusterAPIPatch("internal/controllers/machine/machine_controller_noderef.go",
		`		// If for whatever reason the index isn't registered or available, we fallback to loop over the whole list.
		nl := corev1.NodeList{}
		// Note: We don't use pagination as this is a cached client and a cached client doesn't support pagination.
		if err := c.List(ctx, &nl); err != nil {
			return nil, err
		}

		for _, node := range nl.Items {
			if providerID == node.Spec.ProviderID {
				return &node, nil
			}
		}

`, ""),
	// A Machine whose VM was going drained its Node again at each look: a list of its Pods, one of all attached volumes, and each DaemonSet.
	clusterAPIPatch("internal/controllers/machine/machine_controller.go", "	if isDeleteNodeAllowed {\n		// pre-drain.delete lifecycle hook",
		`	drained := v1beta1conditions.IsTrue(m, clusterv1.DrainingSucceededV1Beta1Condition) && v1beta1conditions.IsTrue(m, clusterv1.VolumeDetachSucceededV1Beta1Condition)
	going := s.infraMachineIsNotFound || s.infraMachine != nil && !s.infraMachine.GetDeletionTimestamp().IsZero()
	if isDeleteNodeAllowed && !(drained && going) {
		// pre-drain.delete lifecycle hook`),
	// Conditions and the rest of a status are one write.
	clusterAPIPatch("util/patch/patch.go", "err := h.client.Status().Patch(ctx, latest, conditionsPatch)\n		switch {", `whole, err := h.withStatus(conditionsPatch, latest, obj)
		if err != nil {
			return false, err
		}
		err = h.client.Status().Patch(ctx, latest, whole)
		if err == nil {
			h.changes.Delete("status")
		}
		switch {`),
	clusterAPIPatch("util/patch/patch.go", "// calculatePatch returns the before/after", `// withStatus adds the changes of the rest of the status to those of the conditions.
func (h *Helper) withStatus(conditions client.Patch, latest, obj client.Object) (client.Patch, error) {
	if !h.shouldPatch(statusPatch) {
		return conditions, nil
	}
	before, after, err := h.calculatePatch(obj, statusPatch)
	if err != nil {
		return nil, err
	}
	whole := map[string]any{}
	for _, patch := range []struct {
		client.Patch
		object client.Object
	}{{conditions, latest}, {client.MergeFrom(before), after}} {
		data, err := patch.Data(patch.object)
		if err != nil {
			return nil, err
		}
		changes := map[string]any{}
		if err := json.Unmarshal(data, &changes); err != nil {
			return nil, err
		}
		mergeMaps(whole, changes)
	}
	data, err := json.Marshal(whole)
	return client.RawPatch(types.MergePatchType, data), err
}

func mergeMaps(into, from map[string]any) {
	for key, value := range from {
		a, isMap := into[key].(map[string]any)
		b, both := value.(map[string]any)
		if isMap && both {
			mergeMaps(a, b)
		} else {
			into[key] = value
		}
	}
}

// calculatePatch returns the before/after`),
}

func clusterAPIPatch(file, old, replacement string) patch {
	return patch{Module: "sigs.k8s.io/cluster-api", File: file, Old: old, New: replacement}
}
