#!/bin/sh
# Makes this VM a Kubernetes cluster of one node. Runs until it has succeeded once; an interrupted run is undone first.
set -eu
state=/var/lib/mke-management
mkdir -p "$state"
# Where the platform's PostgreSQL keeps its data; 70 is its user.
install -d -m 0700 -o 70 -g 70 /var/lib/mke-data/postgres

if [ -e "$state/started" ]; then
    kubeadm reset --force --skip-phases=remove-etcd-member
    find /var/lib/etcd -mindepth 1 -delete
fi
touch "$state/started"
install -d -m 0755 /etc/kubernetes/pki
install -m 0644 /etc/mke/pki/ca.crt /etc/kubernetes/pki/ca.crt
install -m 0600 /etc/mke/pki/ca.key /etc/kubernetes/pki/ca.key
kubeadm init --config /etc/mke/kubeadm.yaml --skip-token-print
kubectl --kubeconfig /etc/kubernetes/admin.conf --namespace kube-system scale deployment coredns --replicas 1
mv "$state/started" "$state/ready"
