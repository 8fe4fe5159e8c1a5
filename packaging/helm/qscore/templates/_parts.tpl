{{/* What stands in each object's name, and in its labels. */}}
{{- define "qscore.labels" -}}
app.kubernetes.io/name: qscore
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: qscore
{{- end }}

{{- define "qscore.selector" -}}
app.kubernetes.io/name: qscore
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "qscore.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end }}

{{- define "qscore.stateClaim" -}}
{{ .Values.state.existingClaim | default (printf "%s-state" .Release.Name) }}
{{- end }}

{{/* The pod's part of Kubernetes's profile "restricted", and what else every pod has. */}}
{{- define "qscore.pod" -}}
serviceAccountName: {{ .root.Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "qscore.selector" . | nindent 8 }}
{{- end }}

{{- define "qscore.confined" -}}
image: {{ include "qscore.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Settings, the authority of the queue's servers and the key of its seals, for every container of qscore. */}}
{{- define "qscore.env" -}}
- name: QSCORE_CONFIG
  value: /etc/qscore/settings/qscore.toml
- name: QSCORE_BROKER_CA
  value: /etc/qscore/queue/queue_ca
- name: QSCORE_QUEUE_KEY_FILE
  value: /etc/qscore/queue-key/queue_seal
- name: QSCORE_HOME
  value: /var/lib/qscore/home
{{- end }}

{{- define "qscore.mounts" -}}
- name: settings
  mountPath: /etc/qscore/settings
  readOnly: true
- name: queue-ca
  mountPath: /etc/qscore/queue
  readOnly: true
- name: queue-key
  mountPath: /etc/qscore/queue-key
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "qscore.volumes" -}}
- name: settings
  secret:
    secretName: {{ .settings }}
    defaultMode: 0440
- name: queue-ca
  secret:
    secretName: {{ .root.Values.secrets.queueCa }}
    defaultMode: 0440
- name: queue-key
  secret:
    secretName: {{ .root.Values.secrets.queueKey }}
    defaultMode: 0440
- name: tmp
  emptyDir:
    sizeLimit: 512Mi
{{- end }}

{{- define "qscore.workerProbes" -}}
startupProbe:
  exec:
    command: [/opt/qscore/bin/python, -m, scorer.service.alive, worker, {{ .lane }}, --ready]
  periodSeconds: 5
  timeoutSeconds: 15
  failureThreshold: 36
readinessProbe:
  exec:
    command: [/opt/qscore/bin/python, -m, scorer.service.alive, worker, {{ .lane }}, --ready]
  periodSeconds: 20
  timeoutSeconds: 15
  failureThreshold: 2
livenessProbe:
  exec:
    command: [/opt/qscore/bin/python, -m, scorer.service.alive, worker, {{ .lane }}]
  periodSeconds: 30
  timeoutSeconds: 15
  failureThreshold: 3
{{- end }}

{{- define "qscore.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels:
    {{- include "qscore.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "qscore.selector" . | nindent 6 }}
{{- end }}
