"""On-device, real-time person detection: camera in, MQTT alert out."""

__version__ = "0.1.0"
