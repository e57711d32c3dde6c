{{- define "creditstream.fullname" -}}
{{- if contains "creditstream" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-creditstream" (.Release.Name | trunc 27 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "creditstream.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "creditstream.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "creditstream.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* (list $ "worker"): what a selector asks for. */}}
{{- define "creditstream.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "creditstream.labels" -}}
{{- $root := index . 0 -}}
{{ include "creditstream.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* A setting as text. YAML's numbers arrive as floats, and a large one would be written 4.194304e+06. */}}
{{- define "creditstream.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{/* What a component does not use stays away from it: prefixes of settings, secrets and files. */}}
{{- define "creditstream.without" -}}
{{- get (dict "worker" "" "command" "web_" "retention" "web_ risk_ redis_ dogstatsd_ policy_ postgres_replica_"
  "migrate" "web_ risk_ redis_ dogstatsd_ policy_ postgres_replica_ kafka_") . }}
{{- end }}

{{/* (list name "risk_ redis_"): "yes" when the name begins with none of the prefixes. */}}
{{- define "creditstream.used" -}}
{{- $name := index . 0 }}{{ $used := "yes" }}
{{- range splitList " " (index . 1) }}{{ if and . (hasPrefix . $name) }}{{ $used = "" }}{{ end }}{{ end }}
{{- $used }}
{{- end }}

{{/* (list $ component): the variables. Secrets are paths of files, never values. */}}
{{- define "creditstream.env" -}}
{{- $root := index . 0 }}{{ $without := include "creditstream.without" (index . 1) -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
{{- range $name, $value := $root.Values.settings }}
{{- if include "creditstream.used" (list $name $without) }}
- {name: CREDITSTREAM_{{ upper $name }}, value: {{ include "creditstream.text" $value | quote }}}
{{- end }}{{ end }}
{{- range $name, $ := $root.Values.secrets }}
{{- if include "creditstream.used" (list $name $without) }}
- {name: CREDITSTREAM_{{ upper $name }}_FILE, value: /run/secrets/creditstream/{{ $name }}}
{{- end }}{{ end }}
{{- range $name, $ := $root.Values.files }}
{{- if and (ne $name "postgres_ca") (include "creditstream.used" (list $name $without)) }}
- {name: CREDITSTREAM_{{ upper $name }}, value: /etc/creditstream/{{ $name }}}
{{- end }}{{ end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list $ component): the sources of its files, empty when it uses none. */}}
{{- define "creditstream.files" -}}
{{- $without := include "creditstream.without" (index . 1) -}}
{{- range $name, $from := (index . 0).Values.files }}
{{- if include "creditstream.used" (list $name $without) }}
- {{ if $from.secret }}secret{{ else }}configMap{{ end }}:
    name: {{ $from.secret | default $from.configMap }}
    items: [{key: {{ $from.key }}, path: {{ $name }}}]
{{- end }}{{ end }}
{{- end }}

{{- define "creditstream.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/creditstream, readOnly: true}
{{- if include "creditstream.files" . }}
- {name: files, mountPath: /etc/creditstream, readOnly: true}
{{- end }}
{{- end }}

{{/* (list $ component). No subPath: a file mounted so would not follow a rotation. */}}
{{- define "creditstream.volumes" -}}
{{- $root := index . 0 }}{{ $without := include "creditstream.without" (index . 1) -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range $name, $from := $root.Values.secrets }}
    {{- if include "creditstream.used" (list $name $without) }}
      - secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
    {{- end }}{{ end }}
{{- with include "creditstream.files" . }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- end }}

{{- define "creditstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "creditstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* (list $): what all pods have. Without enableServiceLinks: false, Kubernetes would add CREDITSTREAM_SERVICE_HOST and
the like for a Service of that name, and the program refuses settings that it does not know. */}}
{{- define "creditstream.pod" -}}
{{- $root := index . 0 -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "creditstream.podSecurity" . | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* (list $ component arguments deadlineSeconds backoffLimit serviceAccountName): the spec of a Job that runs one command. */}}
{{- define "creditstream.job" -}}
{{- $root := index . 0 }}{{ $component := index . 1 -}}
activeDeadlineSeconds: {{ index . 3 | int }}
backoffLimit: {{ index . 4 | int }}
template:
  metadata:
    labels:
      {{- include "creditstream.labels" . | nindent 6 }}
  spec:
    {{- include "creditstream.pod" . | nindent 4 }}
    serviceAccountName: {{ index . 5 }}
    restartPolicy: Never
    containers:
      - name: {{ $component }}
        image: {{ include "creditstream.image" $root }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        args: {{ toJson (index . 2) }}
        env:
          {{- include "creditstream.env" . | nindent 10 }}
        securityContext:
          {{- include "creditstream.containerSecurity" . | nindent 10 }}
        resources:
          requests: {cpu: 100m, memory: 256Mi}
          limits: {memory: 1Gi}
        volumeMounts:
          {{- include "creditstream.mounts" . | nindent 10 }}
          - {name: data, mountPath: /var/lib/creditstream}
    volumes:
      {{- include "creditstream.volumes" . | nindent 6 }}
      # An audit's temporary files: some 200 bytes an order, as long as it runs.
      - {name: data, emptyDir: {sizeLimit: {{ $root.Values.persistence.size }}}}
{{- end }}
