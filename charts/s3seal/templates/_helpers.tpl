{{/* Names, labels and images. */}}

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

{{/* "s3seal.named" (list . "suffix" [length]): the full name with a suffix, which is never cut. */}}
{{- define "s3seal.named" -}}
{{- $context := index . 0 -}}
{{- $suffix := index . 1 -}}
{{- $length := 63 -}}
{{- if gt (len .) 2 -}}{{- $length = index . 2 -}}{{- end -}}
{{- $room := int (sub $length (add1 (len $suffix))) -}}
{{- printf "%s-%s" (include "s3seal.fullname" $context | trunc $room | trimSuffix "-") $suffix -}}
{{- end -}}

{{/* "s3seal.selectorLabels" (list . "component"): each component has pods of its own. */}}
{{- define "s3seal.selectorLabels" -}}
{{- $context := index . 0 -}}
app.kubernetes.io/name: {{ include "s3seal.name" $context }}
app.kubernetes.io/instance: {{ $context.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "s3seal.labels" -}}
{{- $context := index . 0 -}}
{{ include "s3seal.selectorLabels" . }}
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $context.Release.Service }}
app.kubernetes.io/part-of: s3seal
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* "s3seal.metadata" (list . "name" "component"): name, namespace and labels of an object. */}}
{{- define "s3seal.metadata" -}}
name: {{ index . 1 }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "s3seal.labels" (list (index . 0) (index . 2)) | nindent 2 }}
{{- end -}}

{{- define "s3seal.image" -}}
{{- $image := .Values.image -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{- define "s3seal.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "s3seal.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Names of the Secrets, whoever makes them; empty where there is none. */}}

{{- define "s3seal.tlsSecret" -}}
{{- if .Values.listen.tls.certManager.enabled -}}
{{- include "s3seal.named" (list . "tls") -}}
{{- else -}}
{{- .Values.listen.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "s3seal.secretsSecret" -}}
{{- if .Values.secrets.values -}}
{{- include "s3seal.named" (list . "secrets") -}}
{{- else -}}
{{- .Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}
