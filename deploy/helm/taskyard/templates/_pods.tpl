{{/* Labels of every object. Arguments: root, component or name (whether it belongs to all components), or none. */}}
{{- define "taskyard.labels" -}}
{{- if or .component .name }}
app.kubernetes.io/name: taskyard
{{- end }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: taskyard
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "taskyard.selector" -}}
app.kubernetes.io/name: taskyard
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "taskyard.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
taskyard/{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Image and pull policy of a container. */}}
{{- define "taskyard.imageFields" -}}
image: {{ include "taskyard.image" . }}
{{- with .root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* Variables. Arguments: root, config and secrets (lists of keys of the values `config` and `secrets`). */}}
{{- define "taskyard.envFrom" -}}
{{- $optional := list "storage" "mail" "providers" "migrateDatabase" "listen" -}}
{{- range .config }}
- configMapRef: { name: {{ eq . "all" | ternary "taskyard" (printf "taskyard-%s" .) }} }
{{- end }}
{{- range .secrets }}
- secretRef: { name: {{ (get $.root.Values.secrets .).name }}{{ if has . $optional }}, optional: true{{ end }} }
{{- end }}
{{- end }}

{{/* Changes with what a pod reads at its start, so that a changed value replaces the pod. */}}
{{- define "taskyard.checksum" -}}
{{- $config := list -}}
{{- range .config }}{{ $config = append $config (get $.root.Values.config .) }}{{ end -}}
{{- $secrets := list -}}
{{- range .secrets }}{{ $secrets = append $secrets (get $.root.Values.secrets .) }}{{ end -}}
checksum/settings: {{ list $config $secrets | toJson | sha256sum }}
{{- end }}

{{- define "taskyard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "taskyard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What all pods of a service have. Arguments: root, component, service (its values). */}}
{{- define "taskyard.podFields" -}}
serviceAccountName: {{ .component }}
automountServiceAccountToken: false
# Variables such as REDIS_PORT=tcp://... would be taken for settings.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .service.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .service.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* What the pods of a Deployment have beside that. */}}
{{- define "taskyard.spreadFields" -}}
{{ include "taskyard.podFields" . }}
securityContext:
  {{- include "taskyard.podSecurity" . | nindent 2 }}
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "taskyard.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{/* And where they wait for the schema. */}}
{{- define "taskyard.serverFields" -}}
{{ include "taskyard.spreadFields" . }}
initContainers:
  - name: wait-for-schema
    {{- include "taskyard.imageFields" . | nindent 4 }}
    args: [wait-for-schema]
    envFrom:
      {{- include "taskyard.envFrom" (dict "root" .root "config" (list "all") "secrets" (list "database")) | trim | nindent 6 }}
    {{- include "taskyard.containerFields" . | nindent 4 }}
    volumeMounts:
      - { name: tmp, mountPath: /tmp }
{{- end }}

{{- define "taskyard.containerFields" -}}
resources: {{ toJson .service.resources }}
securityContext: {{- include "taskyard.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* Startup and liveness by the file that a main loop touches about once a second, without PostgreSQL and Redis as well. */}}
{{- define "taskyard.fileProbes" -}}
startupProbe:
  exec: { command: [sh, -c, 'test -e "$TASKYARD_HEALTH_FILE"'] }
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  exec:
    command: [sh, -c, 'test -n "$(find "$TASKYARD_HEALTH_FILE" -newermt "15 seconds ago")"']
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* Every service by its name, with its values. */}}
{{- define "taskyard.services" -}}
{{- merge (dict "api" .Values.api "console" .Values.console "migrate" .Values.migrate "scheduler" .Values.scheduler) .Values.workers | toYaml }}
{{- end }}

{{- define "taskyard.workerNames" -}}
{{ keys .Values.workers | sortAlpha | join ", " }}
{{- end }}

{{/* Where files are, if not in a bucket. */}}
{{- define "taskyard.storageVolume" -}}
{{- if .Values.sharedVolume.enabled }}
- name: storage
  persistentVolumeClaim: { claimName: {{ .Values.sharedVolume.existingClaim | default "storage" }} }
{{- end }}
{{- end }}

{{- define "taskyard.storageMount" -}}
{{- if .root.Values.sharedVolume.enabled }}
- { name: storage, mountPath: /var/lib/taskyard/storage{{ if .readOnly }}, readOnly: true{{ end }} }
{{- end }}
{{- end }}
