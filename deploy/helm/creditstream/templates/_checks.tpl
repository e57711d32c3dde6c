{{/* What no schema of one value can say: refused before anything is installed, in one line. */}}
{{- define "creditstream.checks" -}}
{{- $settings := .Values.settings }}
{{- $replicas := int .Values.replicas }}{{ $partitions := int $settings.partitions }}
{{- if gt $replicas $partitions }}
{{- fail (printf "replicas is %d and settings.partitions %d: a worker without a partition is never ready" $replicas $partitions) }}
{{- end }}
{{- $most := int .Values.autoscaling.maxReplicas }}
{{- if and .Values.autoscaling.enabled (or (gt $most $partitions) (lt $most $replicas)) }}
{{- fail (printf "autoscaling.maxReplicas is %d: it must lie between replicas (%d) and settings.partitions (%d)" $most $replicas $partitions) }}
{{- end }}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add 35 .Values.preStopSeconds | int) }}
{{- fail "terminationGracePeriodSeconds is shorter than preStopSeconds and 35 s: a worker takes up to 30 s to end" }}
{{- end }}
{{- $password := and (eq ($settings.kafka_security_protocol | default "") "SASL_SSL") (ne ($settings.kafka_sasl_mechanism | default "") "AWS_MSK_IAM") }}
{{- if and $password (not (and $settings.kafka_sasl_username .Values.secrets.kafka_sasl_password)) }}
{{- fail "settings.kafka_security_protocol is SASL_SSL: settings.kafka_sasl_username and secrets.kafka_sasl_password are needed" }}
{{- end }}
{{- if and .Values.retention.enabled (not $settings.retention_months) }}
{{- fail "retention.enabled needs settings.retention_months: without it nothing would ever be dropped" }}
{{- end }}
{{- end }}
