{{/* The smallest pipeline that says something within a minute; on the local cloud where there is one. */}}
{{- define "stockpipe.sample" -}}
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata:
  name: sample
  namespace: {{ include "stockpipe.pipelineNamespace" . }}
spec:
  market:
    calendar: 24x7
    symbols: [AAPL, MSFT, NVDA]
  source:
    simulated: {seed: 42, ticksPerSecond: 100}
  kafka:
    {{- if .Values.localCloud.enabled }}
    bootstrapServers: {{ include "stockpipe.localCloudHost" . }}:9092
    topic: {replicationFactor: 1}
    {{- else }}
    bootstrapServers: kafka.example.com:9092    # yours
    {{- end }}
  lake:
    bucket: stockpipe-sample{{ if not .Values.localCloud.enabled }}                    # yours{{ end }}
    roll: {maxAge: 10s}
  reports:
    - name: daily-ohlcv
      builtin: daily-ohlcv
      interval: Hour
      dataDate: Previous
      schedule: {cron: "5 * * * *"}
  {{- if .Values.localCloud.enabled }}
  aws:
    credentialsSecretRef: {name: {{ include "stockpipe.localCloudSecret" . }}}
    endpoints:
      s3: http://{{ include "stockpipe.localCloudHost" . }}:9000
      glue: http://{{ include "stockpipe.localCloudHost" . }}:9000
      athena: http://{{ include "stockpipe.localCloudHost" . }}:9000
  {{- else }}
  aws:
    region: us-east-1
    serviceAccountName: sample                  # with an IAM role; or roleArn, roles, credentialsSecretRef
  {{- end }}
{{- end -}}
