{{/* Configuration files: the two tables that the chart owns, so that ports and probes agree with them, and the rest. */}}

{{/* "s3seal.config" (dict "name" "config" "text" TEXT): a configuration without the chart's own tables. */}}
{{- define "s3seal.config" -}}
{{- if regexMatch "(?m)^[ \\t]*\\[+[ \\t]*(listen|admin)[ \\t]*[\\].]" .text -}}
{{- fail (printf "%s has a table [listen] or [admin]: the chart writes both, see listen in values.yaml" .name) -}}
{{- end -}}
{{- trim .text -}}
{{- end -}}

{{- define "s3seal.anyAddress" -}}
{{- if eq .Values.listen.ipFamily "IPv6" -}}[::]{{- else -}}0.0.0.0{{- end -}}
{{- end -}}

{{/* Of the gateway. A listener without TLS must be asked for by name. */}}
{{- define "s3seal.gatewayConfig" -}}
[listen]
address = "{{ include "s3seal.anyAddress" . }}:9000"
drain_notice_seconds = {{ int .Values.listen.drainNoticeSeconds }}
drain_seconds = {{ int .Values.listen.drainSeconds }}
{{- with .Values.listen.domains }}
domains = {{ toJson . }}
{{- end }}
{{- $clients := .Values.listen.tls.clientCertificates }}
{{- if include "s3seal.tlsSecret" . }}
{{- $files := `certificate = "/etc/s3seal/tls/tls.crt", private_key = "/etc/s3seal/tls/tls.key"` }}
{{- if $clients.existingSecret }}
{{- $demand := ternary "required" "optional" $clients.required }}
{{- $files = printf `%s, client_ca = "/etc/s3seal/client-ca/ca.crt", client_certificates = "%s"` $files $demand }}
{{- end }}
tls = { {{ $files }} }
{{- else if $clients.existingSecret }}
{{- fail "listen.tls.clientCertificates needs TLS in the pods: name listen.tls.existingSecret" }}
{{- else if .Values.listen.allowPlainHttp }}
allow_plain_http = true
{{- else }}
{{- fail "listen.tls.existingSecret is empty: name a TLS Secret, or set listen.allowPlainHttp if TLS ends in front of the pod" }}
{{- end }}
{{- range $key, $value := .Values.listen.settings }}
{{ $key }} = {{ int $value }}
{{- end }}

[admin]
address = "{{ include "s3seal.anyAddress" . }}:9001"

{{ include "s3seal.config" (dict "name" "config" "text" .Values.config) }}
{{- end -}}
