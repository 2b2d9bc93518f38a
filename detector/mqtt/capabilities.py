"""What a broker cannot do, as it says when it takes the connection (MQTT 5, section 3.2.2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from detector.core.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerCapabilities:
    """`retains`: it keeps retained messages. `maximum_qos`: 1, or 0 where it acknowledges nothing."""

    retains: bool = True
    maximum_qos: int = 1

    @classmethod
    def told(cls, properties: Any) -> BrokerCapabilities:
        """Of a CONNACK's properties; what they do not name is there."""
        retains, qos = (getattr(properties, name, 1) for name in ("RetainAvailable", "MaximumQoS"))
        return cls(retains=bool(retains), maximum_qos=min(1, int(qos)))

    def granted(self, message: Message) -> Message:
        """`message` as the broker takes it: more would end the connection."""
        qos, retain = min(message.qos, self.maximum_qos), message.retain and self.retains
        if (qos, retain) == (message.qos, message.retain):
            return message
        return replace(message, qos=qos, retain=retain)

    def notes(self) -> tuple[str, ...]:
        """One line on each thing that is missed."""
        found = {
            "the broker keeps no retained messages: who subscribes later sees a state at its next change, and Home "
            "Assistant finds new devices only while it is connected": self.retains,
            "the broker takes QoS 0 alone: an alert that is lost on the way is not sent again": self.maximum_qos > 0,
        }
        return tuple(text for text, there in found.items() if not there)
