#!/bin/sh
# Make the password file from the secret, then become the broker.
set -eu
umask 077
password=$(cat /run/secrets/mqtt-password)
if [ -z "$password" ]; then
  echo "start.sh: MQTT_PASSWORD is empty: set it in .env" >&2
  exit 1
fi
# Typed rather than given as an argument: arguments are seen by every process.
printf '%s\n%s\n' "$password" "$password" | mosquitto_passwd -c /mosquitto/data/passwd detector >/dev/null
unset password
exec mosquitto -c /mosquitto/config/mosquitto.conf
