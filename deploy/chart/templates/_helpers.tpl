{{/* Labels of every object. */}}
{{- define "mke.labels" -}}
app.kubernetes.io/part-of: mke
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Labels that select a component's pods. Takes the component's name. */}}
{{- define "mke.selector" -}}
app.kubernetes.io/name: {{ . }}
{{- end }}

{{- define "mke.apiKeySecret" -}}
{{ .Values.cloud.platformApiKeySecret | default "mke-platform-api-key" }}
{{- end }}

{{- define "mke.databaseSecret" -}}
{{ .Values.postgres.external.urlSecret | default "mke-database" }}
{{- end }}

{{/* "true" when the chart runs its own PostgreSQL. */}}
{{- define "mke.ownDatabase" -}}
{{- if not (or .Values.postgres.external.url .Values.postgres.external.urlSecret) }}true{{ end }}
{{- end }}

{{/* What pods have in common: where they run and as whom. */}}
{{- define "mke.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mke.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mke.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Probes of a server with /healthz and /readyz on the port named health. Ready is asked every second, as start-up time
is what a person waits for; a machine that is busy for a moment does not make it unready. */}}
{{- define "mke.probes" -}}
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 5
livenessProbe:
  httpGet: {path: /healthz, port: health}
  initialDelaySeconds: 20
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/*
A Deployment of one of our servers (`mke <command>`). Takes a dict: root, name, command, values (replicas, resources),
args (list), and optionally port (named http), env, volumes and mounts (lists), cloud (false: no access to the cloud's
API), apiKey (true: mounts the platform's API key), checksum (text; pods restart when it changes), grace (seconds that it
may take to end), singleton (true: the old pod must be gone before the new one starts). Several replicas get a
PodDisruptionBudget.
*/}}
{{- define "mke.server" -}}
{{- $ := .root -}}
{{- $cloud := $.Values.cloud -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
    {{- include "mke.selector" .name | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  {{- if .singleton }}
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  selector:
    matchLabels: {{- include "mke.selector" .name | nindent 6 }}
  template:
    metadata:
      labels: {{- include "mke.labels" $ | nindent 8 }}
        {{- include "mke.selector" .name | nindent 8 }}
      annotations:
        mke.magalu.cloud/config: {{ list $.Values.revision $cloud.caBundle $cloud.platformApiKey .checksum | toJson | sha256sum | trunc 16 | quote }}
    spec:
      serviceAccountName: {{ .name }}
      terminationGracePeriodSeconds: {{ .grace | default 10 }}
      {{- include "mke.pod" $ | nindent 6 }}
      {{- if gt (int .values.replicas) 1 }}
      # Not all replicas on one node, where there are several.
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels: {{- include "mke.selector" .name | nindent 20 }}
      {{- end }}
      securityContext: {{- include "mke.podSecurity" $ | nindent 8 }}
      containers:
        - name: {{ .command }}
          image: {{ $.Values.image }}
          imagePullPolicy: {{ $.Values.imagePullPolicy }}
          args:
            - {{ .command }}
            {{- range .args }}
            - {{ . | quote }}
            {{- end }}
            - --cloud-endpoint={{ $cloud.endpoint }}
            {{- if $cloud.caBundle }}
            - --cloud-ca-file=/etc/mke/cloud-ca/ca.crt
            {{- end }}
            {{- if .apiKey }}
            - --cloud-api-key-file=/etc/mke/platform/api-key
            {{- end }}
            - --health-addr=:8081
            - --metrics-addr=:8082
            - --log-level={{ $.Values.logLevel }}
          {{- with .env }}
          env: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- with .port }}
            - {name: http, containerPort: {{ . }}}
            {{- end }}
            - {name: health, containerPort: 8081}
            - {name: metrics, containerPort: 8082}
          {{- include "mke.probes" $ | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "mke.containerSecurity" $ | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if $cloud.caBundle }}
            - {name: cloud-ca, mountPath: /etc/mke/cloud-ca, readOnly: true}
            {{- end }}
            {{- if .apiKey }}
            - {name: platform-api-key, mountPath: /etc/mke/platform, readOnly: true}
            {{- end }}
            {{- with .mounts }}{{ toYaml . | nindent 12 }}{{ end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- if $cloud.caBundle }}
        - {name: cloud-ca, configMap: {name: mke-cloud-ca}}
        {{- end }}
        {{- if .apiKey }}
        - name: platform-api-key
          secret: {secretName: {{ include "mke.apiKeySecret" $ }}, defaultMode: 0440}
        {{- end }}
        {{- with .volumes }}{{ toYaml . | nindent 8 }}{{ end }}
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "mke.selector" .name | nindent 6 }}
{{- end }}
{{- end }}

{{/* A ServiceAccount with a ClusterRole. Takes a dict: root, name, rules (YAML text). Leases for leader election are
granted in the release's namespace only. */}}
{{- define "mke.account" -}}
{{- $ := .root -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
rules: {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .name }}}
subjects:
  - {kind: ServiceAccount, name: {{ .name }}, namespace: {{ $.Release.Namespace }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "mke.labels" $ | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mke-leader-election}
subjects:
  - {kind: ServiceAccount, name: {{ .name }}, namespace: {{ $.Release.Namespace }}}
{{- end }}
