#!/bin/sh
# Make the password file from MQTT_PASSWORD, then become the broker, without that variable.
set -eu
umask 077
password=${MQTT_PASSWORD-}
unset MQTT_PASSWORD
if [ -z "$password" ]; then
  echo "start.sh: MQTT_PASSWORD is empty: set it in .env" >&2
  exit 1
fi
# Typed rather than given as an argument: arguments are seen by every process.
printf '%s\n%s\n' "$password" "$password" | mosquitto_passwd -c /mosquitto/data/passwd detector >/dev/null
unset password
exec mosquitto -c /mosquitto/config/mosquitto.conf
