{{- define "s3seal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "s3seal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "s3seal.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "s3seal.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "s3seal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "s3seal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "s3seal.labels" -}}
{{ include "s3seal.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "s3seal.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "s3seal.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "s3seal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end -}}

{{/* The two tables the chart owns. A listener without TLS must be asked for by name. */}}
{{- define "s3seal.listenConfig" -}}
[listen]
address = "0.0.0.0:9000"
{{- with .Values.listen.domains }}
domains = {{ toJson . }}
{{- end }}
{{- if .Values.listen.tls.existingSecret }}
tls = { certificate = "/etc/s3seal/tls/tls.crt", private_key = "/etc/s3seal/tls/tls.key" }
{{- else if .Values.listen.allowPlainHttp }}
allow_plain_http = true
{{- else }}
{{- fail "listen.tls.existingSecret is empty: name a TLS Secret, or set listen.allowPlainHttp if TLS ends in front of the pod" }}
{{- end }}

[admin]
address = "0.0.0.0:9001"
{{- end -}}
