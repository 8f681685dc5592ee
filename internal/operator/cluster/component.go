package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	mkev1 "magalu.cloud/mke/api/v1"
)

const (
	kubeconfigDir  = "/etc/mke/kubeconfig"
	credentialsDir = "/etc/mke/credentials"
)

// secretMount is a Secret that a component reads.
type secretMount struct{ name, dir, secret string }

// component is one of our servers beside a customer's cluster: a Deployment of one Pod, of which there are never two. The first of args
// is the server.
func component(c *mkev1.MGCCluster, name, image, memory string, args []string, secrets ...secretMount) *appsv1.Deployment {
	selector := map[string]string{"app.kubernetes.io/name": name, mkev1.ClusterIDLabel: c.Spec.ClusterID}
	container := corev1.Container{
		Name:            args[0],
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            args,
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse(memory),
		}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	var volumes []corev1.Volume
	for _, s := range secrets {
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: s.name, MountPath: s.dir, ReadOnly: true})
		volumes = append(volumes, corev1.Volume{Name: s.name, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: s.secret, DefaultMode: ptr.To[int32](0o440)},
		}})
	}
	return &appsv1.Deployment{
		ObjectMeta: componentMeta(c, name),
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
					Containers: []corev1.Container{container},
					Volumes:    volumes,
				},
			},
		},
	}
}

func componentMeta(c *mkev1.MGCCluster, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: c.Namespace, Name: name, Labels: labels(c), OwnerReferences: []metav1.OwnerReference{ownerReference(c)}}
}
