{{/* Which namespaces are watched. */}}

{{- define "stockpipe.clusterWide" -}}
{{- if has "*" .Values.watchNamespaces -}}
{{- if gt (len .Values.watchNamespaces) 1 -}}
{{- fail "watchNamespaces: \"*\" is every namespace; write it alone, or the names alone" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/* The watched namespaces as JSON, as a template can only return text; none when all are. */}}
{{- define "stockpipe.watched" -}}
{{- if include "stockpipe.clusterWide" . -}}
[]
{{- else -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* Limits a policy to the watched namespaces. */}}
{{- define "stockpipe.namespaceSelector" -}}
{{- if include "stockpipe.clusterWide" . -}}
{}
{{- else -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values:
      {{- include "stockpipe.watched" . | fromJsonArray | toYaml | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* Where a pipeline is expected: the namespace of the page and of the sample. */}}
{{- define "stockpipe.pipelineNamespace" -}}
{{- .Values.page.namespace | default (first (include "stockpipe.watched" . | fromJsonArray)) | default .Release.Namespace -}}
{{- end -}}
