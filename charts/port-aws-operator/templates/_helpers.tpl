{{- define "port-aws-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* A release that is called like the chart, or longer, does not repeat its name. */}}
{{- define "port-aws-operator.fullname" -}}
{{- $name := include "port-aws-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "port-aws-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "port-aws-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "port-aws-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{ include "port-aws-operator.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "port-aws-operator.serviceAccountName" -}}
{{- $default := ternary (include "port-aws-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "port-aws-operator.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- if .Values.image.digest -}}
{{- if .Values.image.tag -}}
{{ .Values.image.repository }}:{{ $tag }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end -}}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end }}
{{- end }}

{{- /* The rules for integrations, and for telling of them. */}}
{{- define "port-aws-operator.integrationRules" -}}
# Watch what is asked for; get is for objects that this version cannot read whole. The finalizer
# is set and taken off by a patch of the object itself.
- apiGroups: [integrations.port.io]
  resources: [portawsintegrations]
  verbs: [get, list, watch, patch]
- apiGroups: [integrations.port.io]
  resources: [portawsintegrations/status]
  verbs: [patch]
# Create, and count again what was told before.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* The access objects that the values ask for, as JSON: the specs by name. */}}
{{- define "port-aws-operator.accesses" -}}
{{- $accesses := deepCopy .Values.accesses }}
{{- with .Values.access }}
{{- if .create }}
{{- if hasKey $accesses .name }}
{{- fail (printf "access.name is %s, which accesses has too" .name) }}
{{- end }}
{{- if not (and .accounts .organizationIds) }}
{{- fail "access.create needs access.accounts and access.organizationIds" }}
{{- end }}
{{- if and .externalId (not .roleName) }}
{{- fail "access.externalId is for access.roleName, which is not set" }}
{{- end }}
{{- $namespaces := default (list $.Release.Namespace) .namespaces }}
{{- $spec := dict "allowedNamespaces" (dict "names" $namespaces) "accounts" .accounts }}
{{- $_ := set $spec "limits" (dict "organizationIds" .organizationIds) }}
{{- if .roleName }}
{{- $role := dict "roleName" .roleName }}
{{- if .externalId }}
{{- $_ := set $role "externalId" .externalId }}
{{- end }}
{{- $_ := set $spec "assumeRole" $role }}
{{- end }}
{{- $_ := set $accesses .name $spec }}
{{- end }}
{{- end }}
{{- toJson $accesses }}
{{- end }}

{{- /* Whether they are made by a hook, because their kind comes with this release. */}}
{{- define "port-aws-operator.accessByHook" -}}
{{- $known := or .Release.IsUpgrade (.Capabilities.APIVersions.Has "integrations.port.io/v1alpha1/PortAwsAccess") }}
{{- if and (eq .Values.accessHook "Auto") .Values.crds.install (not $known) }}true{{ end }}
{{- end }}

{{- define "port-aws-operator.checksum" -}}
{{- toJson . | sha256sum | trunc 16 }}
{{- end }}
