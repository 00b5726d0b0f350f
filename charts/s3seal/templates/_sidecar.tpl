{{/*
The sidecar, for this chart's webhook and for charts that depend on this one. Each template takes the context of this
chart, which is `.Subcharts.s3seal` in a chart that depends on it, or with the name of a profile

    (dict "context" .Subcharts.s3seal "profile" "NAME")

    s3seal.sidecar.initContainers   list: what a pod's initContainers get, in this order
    s3seal.sidecar.container        the sidecar alone, where there is no keyring to copy
    s3seal.sidecar.volumes          list: what a pod's volumes get
    s3seal.sidecar.env              list: what the env of each container of the app gets
    s3seal.sidecar.annotations      map: rolls the pods when the configuration changes
    s3seal.sidecar.json             all of it, as the webhook reads it
*/}}

{{/* A profile over the defaults, with its context and name: for the templates of this file. */}}
{{- define "s3seal.sidecar.profile" -}}
{{- $context := .context | default . -}}
{{- $name := .profile | default "default" -}}
{{- $sidecar := $context.Values.sidecar -}}
{{- if not (hasKey $sidecar.profiles $name) -}}
{{- fail (printf "sidecar.profiles has no %q, there are: %s" $name (keys $sidecar.profiles | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $profile := mergeOverwrite (deepCopy $sidecar.defaults) (deepCopy (get $sidecar.profiles $name | default dict)) -}}
{{- if eq (int $profile.port) (int $profile.adminPort) -}}
{{- fail (printf "sidecar profile %q: port and adminPort are the same" $name) -}}
{{- end -}}
{{- toYaml (set $profile "name" $name) -}}
{{- end -}}

{{- define "s3seal.sidecar.configMapName" -}}
{{- $context := .context | default . -}}
{{- include "s3seal.named" (list $context (printf "sidecar-%s" (.profile | default "default"))) -}}
{{- end -}}

{{- define "s3seal.sidecar.config" -}}
{{- $context := .context | default . -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
[listen]
address = "127.0.0.1:{{ int $profile.port }}"
drain_seconds = {{ int $profile.drainSeconds }}

[admin]
address = "{{ include "s3seal.anyAddress" $context }}:{{ int $profile.adminPort }}"

{{ include "s3seal.config" (dict "name" (printf "sidecar profile %q: config" $profile.name) "text" $profile.config) }}
{{- end -}}

{{- define "s3seal.sidecar.container" -}}
{{- $context := .context | default . -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
name: s3seal
image: {{ include "s3seal.image" $context | quote }}
imagePullPolicy: {{ $context.Values.image.pullPolicy }}
restartPolicy: Always
args: ["serve", "--config", "/etc/s3seal/config/s3seal.toml"]
{{- with $profile.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: s3seal-admin
    containerPort: {{ int $profile.adminPort }}
startupProbe:
  httpGet:
    path: /readyz
    port: s3seal-admin
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: {{ int $profile.startupSeconds }}
livenessProbe:
  httpGet:
    path: /healthz
    port: s3seal-admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: {{ $profile.readinessPath }}
    port: s3seal-admin
  periodSeconds: 5
  timeoutSeconds: 5
securityContext:
  {{- toYaml $profile.securityContext | nindent 2 }}
resources:
  {{- toYaml $profile.resources | nindent 2 }}
volumeMounts:
  - name: s3seal-config
    mountPath: /etc/s3seal/config
    readOnly: true
  {{- if $profile.secretsSecret }}
  - name: s3seal-secrets
    mountPath: /etc/s3seal/secrets
    readOnly: true
  {{- end }}
  {{- if $profile.keyringSecret }}
  - name: s3seal-keyring
    mountPath: /etc/s3seal/keyring
    readOnly: true
  {{- end }}
  {{- if $profile.vaultAuth.enabled }}
  - name: s3seal-vault-token
    mountPath: /etc/s3seal/vault
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "s3seal.sidecar.initContainers" -}}
{{- $context := .context | default . -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
{{- if $profile.keyringSecret }}
- {{ include "s3seal.copyKeyring" (dict "context" $context "volumes" "s3seal-" "securityContext" $profile.securityContext) | nindent 2 | trim }}
{{- end }}
- {{ include "s3seal.sidecar.container" . | nindent 2 | trim }}
{{- end -}}

{{/* With mode 0444: what the fsGroup of the pod is, is not known here, and no other container mounts them. */}}
{{- define "s3seal.sidecar.volumes" -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
- name: s3seal-config
  {{- if $profile.existingConfigSecret }}
  secret:
    secretName: {{ $profile.existingConfigSecret }}
    defaultMode: 0444
  {{- else }}
  configMap:
    name: {{ include "s3seal.sidecar.configMapName" . }}
  {{- end }}
{{- with $profile.secretsSecret }}
- name: s3seal-secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0444
{{- end }}
{{- with $profile.keyringSecret }}
- name: s3seal-keyring-secret
  secret:
    secretName: {{ . }}
    defaultMode: 0444
- name: s3seal-keyring
  emptyDir:
    medium: Memory
    sizeLimit: 2Mi
{{- end }}
{{- if $profile.vaultAuth.enabled }}
- {{ include "s3seal.vaultToken" (dict "name" "s3seal-vault-token" "mode" "0444" "auth" $profile.vaultAuth) | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{- define "s3seal.sidecar.env" -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
- name: AWS_ENDPOINT_URL_S3
  value: http://127.0.0.1:{{ int $profile.port }}
{{- with $profile.appEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "s3seal.sidecar.annotations" -}}
{{- $profile := include "s3seal.sidecar.profile" . | fromYaml -}}
{{- if $profile.existingConfigSecret -}}
s3seal.io/profile: {{ $profile.name }}
{{- else -}}
checksum/s3seal-config: {{ include "s3seal.sidecar.config" . | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "s3seal.sidecar.json" -}}
{{- dict
  "initContainers" (include "s3seal.sidecar.initContainers" . | fromYamlArray)
  "volumes" (include "s3seal.sidecar.volumes" . | fromYamlArray)
  "env" (include "s3seal.sidecar.env" . | fromYamlArray)
  | toPrettyJson -}}
{{- end -}}
