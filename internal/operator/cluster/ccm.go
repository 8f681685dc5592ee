package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/cluster-api/util/secret"

	mkev1 "magalu.cloud/mke/api/v1"
)

// ccmName of the cloud controller manager's Deployment, one in each cluster's namespace.
const ccmName = "mke-ccm"

func desiredCCM(c *mkev1.MGCCluster, image, endpoint string, hasCA bool) *appsv1.Deployment {
	args := []string{
		"ccm",
		"--kubeconfig=" + kubeconfigDir + "/" + secret.KubeconfigDataName,
		"--cluster-id=" + c.Spec.ClusterID,
		"--cloud-endpoint=" + endpoint,
		"--credentials-dir=" + credentialsDir,
	}
	if hasCA {
		args = append(args, "--cloud-ca-file="+credentialsDir+"/"+caKey)
	}
	return component(c, ccmName, image, "32Mi", args, kubeconfigMount(c), secretMount{"credentials", credentialsDir, mkev1.CredentialsSecretName})
}

func kubeconfigMount(c *mkev1.MGCCluster) secretMount {
	return secretMount{"kubeconfig", kubeconfigDir, secret.Name(c.Name, secret.Kubeconfig)}
}
