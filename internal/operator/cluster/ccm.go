package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cluster-api/util/secret"

	mkev1 "magalu.cloud/mke/api/v1"
)

// ccmName of the cloud controller manager's Deployment, one in each cluster's namespace.
const ccmName = "mke-ccm"

const (
	kubeconfigDir  = "/etc/mke/kubeconfig"
	credentialsDir = "/etc/mke/credentials"
)

func desiredCCM(c *mkev1.MGCCluster, image, endpoint string, hasCA bool) *appsv1.Deployment {
	selector := map[string]string{"app.kubernetes.io/name": ccmName, mkev1.ClusterIDLabel: c.Spec.ClusterID}
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
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: ccmName, Labels: labels(c)},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: selector},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken:  ptr.To(false),
					EnableServiceLinks:            ptr.To(false),
					TerminationGracePeriodSeconds: ptr.To[int64](5),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot:   ptr.To(true),
						RunAsUser:      ptr.To[int64](65532),
						FSGroup:        ptr.To[int64](65532),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name:            "ccm",
						Image:           image,
						ImagePullPolicy: corev1.PullIfNotPresent,
						Args:            args,
						Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
							corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
						}},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: ptr.To(false),
							ReadOnlyRootFilesystem:   ptr.To(true),
							Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
						VolumeMounts: []corev1.VolumeMount{
							{Name: "kubeconfig", MountPath: kubeconfigDir, ReadOnly: true},
							{Name: "credentials", MountPath: credentialsDir, ReadOnly: true},
						},
					}},
					Volumes: []corev1.Volume{
						secretVolume("kubeconfig", secret.Name(c.Name, secret.Kubeconfig)),
						secretVolume("credentials", mkev1.CredentialsSecretName),
					},
				},
			},
		},
	}
	d.OwnerReferences = []metav1.OwnerReference{ownerReference(c)}
	return d
}

func secretVolume(name, secretName string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secretName, DefaultMode: ptr.To[int32](0o440)},
	}}
}
