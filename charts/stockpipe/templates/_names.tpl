{{/* Names, labels and images. */}}

{{- define "stockpipe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "stockpipe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "stockpipe.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of what belongs to the whole cluster, so that two installs do not meet. */}}
{{- define "stockpipe.clusterName" -}}
{{- printf "%s.%s" (include "stockpipe.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* The Lease by which the operators of this release elect a leader; the operator makes the same of its INSTALL. */}}
{{- define "stockpipe.leaderLease" -}}
{{- include "stockpipe.fullname" . }}-operator
{{- end -}}

{{- define "stockpipe.serviceAccountName" -}}
{{- default (include "stockpipe.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The operator as the API server knows it. */}}
{{- define "stockpipe.user" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "stockpipe.serviceAccountName" .) -}}
{{- end -}}

{{/*
Labels of an object of a component: (list $ "operator"). The name is never "stockpipe", which is what workers carry: a
pipeline may be called as the release is, and its policies would select the operator too. Workers let in pods named
stockpipe-operator, so no value changes that.
*/}}
{{- define "stockpipe.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "stockpipe.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: stockpipe
{{- end -}}

{{/* Labels that select the pods of a component: (list $ "operator"). They never change. */}}
{{- define "stockpipe.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: stockpipe-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The operator's and the local cloud's image. */}}
{{- define "stockpipe.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "stockpipe.workersRepository" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.workers.image.registry | default .Values.image.registry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.workers.image.repository | default .Values.image.repository -}}
{{- end -}}

{{/*
Tag of the workers' image: what is set, or what the release has had, or the chart's. An upgrade of the operator moves no
worker by itself.
*/}}
{{- define "stockpipe.workersTag" -}}
{{- $tag := .Values.workers.image.tag -}}
{{- if not $tag -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "stockpipe.fullname" .) | default dict -}}
{{- range dig "spec" "template" "spec" "containers" list $live -}}
{{- range (.env | default list) -}}
{{- if eq .name "WORKERS_IMAGE" -}}{{- $tag = splitList ":" .value | last -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "stockpipe.workersImage" -}}
{{- include "stockpipe.workersRepository" . }}:{{ include "stockpipe.workersTag" . -}}
{{- end -}}

{{- define "stockpipe.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Container security that Pod Security's "restricted" asks for, and a root that cannot be written. */}}
{{- define "stockpipe.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end -}}

{{- define "stockpipe.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "stockpipe.localCloudName" -}}
{{- include "stockpipe.fullname" . }}-local-cloud
{{- end -}}

{{/* The one name that clients of the local cloud use: Kafka tells it to them, and the AWS APIs refuse any other. */}}
{{- define "stockpipe.localCloudHost" -}}
{{- include "stockpipe.localCloudName" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "stockpipe.localCloudSecret" -}}
{{- .Values.localCloud.existingSecret | default (printf "%s-keys" (include "stockpipe.localCloudName" .)) -}}
{{- end -}}

{{/* A map as KEY=VALUE,KEY=VALUE, in the order of its keys. */}}
{{- define "stockpipe.pairs" -}}
{{- $map := . -}}
{{- $pairs := list -}}
{{- range keys $map | sortAlpha }}{{ $pairs = append $pairs (printf "%s=%s" . (get $map .)) }}{{ end -}}
{{- join "," $pairs -}}
{{- end -}}
