{{/* What the pods of the gateway and of a rewrap have in common: configuration, secrets and keys. */}}

{{- define "s3seal.podBasics" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# the variables that Kubernetes sets for Services are of no use here, and begin as overrides of the configuration do
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* "s3seal.scheduling" VALUES: whatever of it is set. */}}
{{- define "s3seal.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* "s3seal.topologySpread" (list . "component"): the pods of one ReplicaSet are spread. */}}
{{- define "s3seal.topologySpread" -}}
{{- $selector := dict "matchLabels" (include "s3seal.selectorLabels" . | fromYaml) -}}
{{- range (index . 0).Values.topologySpreadConstraints }}
{{- $added := dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash") }}
{{- if .labelSelector }}{{ $added = dict }}{{ end }}
- {{ mergeOverwrite $added . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* Rolls the pods when what the chart writes for them changes. */}}
{{- define "s3seal.checksums" -}}
{{- if not .Values.existingConfigSecret }}
checksum/config: {{ include "s3seal.gatewayConfig" . | sha256sum }}
{{- end }}
{{- with .Values.secrets.values }}
checksum/secrets: {{ toJson . | sha256sum }}
{{- end }}
{{- end -}}

{{/* "s3seal.copyKeyring" (dict "context" . "volumes" PREFIX "securityContext" MAP) */}}
{{- define "s3seal.copyKeyring" -}}
name: {{ .volumes }}copy-keyring
image: {{ .context.Values.keyring.copyImage | quote }}
imagePullPolicy: {{ .context.Values.image.pullPolicy }}
command: ["install", "-m", "0400", "/secret/keyring.json", "/keyring/keyring.json"]
securityContext:
  {{- toYaml .securityContext | nindent 2 }}
resources:
  requests:
    cpu: 10m
    memory: 16Mi
  limits:
    cpu: 100m
    memory: 32Mi
volumeMounts:
  - name: {{ .volumes }}keyring-secret
    mountPath: /secret
    readOnly: true
  - name: {{ .volumes }}keyring
    mountPath: /keyring
{{- end -}}

{{- define "s3seal.initContainers" -}}
{{- if .Values.keyring.existingSecret }}
initContainers:
  - {{ include "s3seal.copyKeyring" (dict "context" . "volumes" "" "securityContext" .Values.securityContext) | nindent 4 | trim }}
{{- end }}
{{- end -}}

{{- define "s3seal.environment" -}}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "s3seal.volumeMounts" -}}
- name: config
  mountPath: /etc/s3seal/config
  readOnly: true
{{- if include "s3seal.tlsSecret" . }}
- name: tls
  mountPath: /etc/s3seal/tls
  readOnly: true
{{- end }}
{{- if .Values.listen.tls.clientCertificates.existingSecret }}
- name: client-ca
  mountPath: /etc/s3seal/client-ca
  readOnly: true
{{- end }}
{{- if include "s3seal.secretsSecret" . }}
- name: secrets
  mountPath: /etc/s3seal/secrets
  readOnly: true
{{- end }}
{{- if .Values.keyring.existingSecret }}
- name: keyring
  mountPath: /etc/s3seal/keyring
  readOnly: true
{{- end }}
{{- if .Values.vaultAuth.enabled }}
- name: vault-token
  mountPath: /etc/s3seal/vault
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Secrets are owned by root and readable through fsGroup: the process cannot change them. */}}
{{- define "s3seal.volumes" -}}
- name: config
  {{- if .Values.existingConfigSecret }}
  secret:
    secretName: {{ .Values.existingConfigSecret }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ include "s3seal.fullname" . }}
  {{- end }}
{{- with include "s3seal.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.listen.tls.clientCertificates.existingSecret }}
- name: client-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with include "s3seal.secretsSecret" . }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.keyring.existingSecret }}
- name: keyring-secret
  secret:
    secretName: {{ . }}
    defaultMode: 0440
- name: keyring
  emptyDir:
    medium: Memory
    sizeLimit: 2Mi
{{- end }}
{{- if .Values.vaultAuth.enabled }}
- {{ include "s3seal.vaultToken" (dict "name" "vault-token" "mode" "0440" "auth" .Values.vaultAuth) | nindent 2 | trim }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "s3seal.vaultToken" -}}
name: {{ .name }}
projected:
  defaultMode: {{ .mode }}
  sources:
    - serviceAccountToken:
        path: token
        audience: {{ .auth.audience | quote }}
        expirationSeconds: {{ int .auth.expirationSeconds }}
{{- end -}}
