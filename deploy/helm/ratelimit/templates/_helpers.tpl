{{- define "ratelimit.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "ratelimit.account" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "ratelimit.name" . }}
{{- else }}default{{ end -}}
{{- end }}

{{- define "ratelimit.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "ratelimit.redisUrl" -}}
{{ .Values.redis.url | default (printf "%s:6379" .Values.redis.embedded.name) }}
{{- end }}

{{/* Whether the Redis of the chart is there and is what counts: with a url of its own nothing would use it. */}}
{{- define "ratelimit.embedded" -}}
{{- if and (eq .Values.backend "redis") .Values.redis.embedded.enabled (not .Values.redis.url) }}yes{{ end -}}
{{- end }}

{{- define "ratelimit.host" -}}
{{ include "ratelimit.name" . }}.{{ .Release.Namespace }}.svc.{{ .Values.istio.clusterDomain }}
{{- end }}

{{/* Name, namespace and labels; called with (dict "root" $ "name" … "labels" … "annotations" …). */}}
{{- define "ratelimit.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
{{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
labels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
