"""TLS towards the broker: what it must prove, and what a refusal means."""

from __future__ import annotations

import ssl
import time
from typing import Any

from detector.core.errors import ConfigError
from detector.core.redact import redact

from .settings import MqttSettings

# OpenSSL's verification results (x509_vfy.h).
_WRONG_NAME = (62, 64)  # host name, IP address
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_CA = (2, 18, 19, 20, 21)  # no issuer, self-signed (leaf, chain), no local issuer, leaf unverifiable
_PLAUSIBLE_WALL = 1_577_836_800.0  # 2020-01-01: a clock before it was never set


class _TidySocket(ssl.SSLSocket):
    """Closes itself when its handshake fails; paho loses sight of it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _NamedContext(ssl.SSLContext):
    """Expects a given name in the certificate, whatever host was dialled."""

    tls_name: str | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        if self.tls_name is not None:
            options["server_hostname"] = self.tls_name
        return super().wrap_socket(*args, **options)


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """What verifies the broker; raises ConfigError that names the key of an unusable file."""
    if not settings.tls:
        return None
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.tls_name = settings.tls_name
    context.sslsocket_class = _TidySocket
    context.load_default_certs()
    if settings.ca_file is not None:
        # Python 3.13's default contexts are strict by RFC 5280; a CA made by hand often lacks key identifiers.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            context.load_verify_locations(settings.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"cannot use {settings.ca_file}: {reason(error)}", key="mqtt.ca_file") from None
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as error:
            raise ConfigError(f"cannot use {settings.cert_file}: {reason(error)}", key="mqtt.cert_file") from None
    return context


def reason(error: Exception) -> str:
    """The error's own words, on one line."""
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    # Masked before it is cut, which could leave half of a secret.
    return redact(str(text)).splitlines()[0] if text else type(error).__name__


def distrust(error: ssl.SSLCertVerificationError, settings: MqttSettings, *, wall: float | None = None) -> str:
    """Why the broker's certificate is not taken, and what to do. `wall`: now, epoch s."""
    code, where = error.verify_code, f"the certificate of {settings.address}"
    wall = time.time() if wall is None else wall
    if code in _WRONG_NAME:
        wanted = settings.tls_name or settings.host
        return (
            f"{where} is for another name than {wanted} ({reason(error)}): set mqtt.tls_name to a name that "
            "it holds, or make one that holds this address"
        )
    if code == _NOT_YET_VALID or (code == _EXPIRED and wall < _PLAUSIBLE_WALL):
        shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(wall))
        return f"{where} is not valid yet: this machine's clock says {shown}, set it (NTP) if that is wrong"
    if code == _EXPIRED:
        return f"{where} has expired: renew it"
    if code in _UNKNOWN_CA:
        todo = (
            "set mqtt.ca_file to the CA that signed it"
            if settings.ca_file is None
            else f"{settings.ca_file} is not the CA that signed it: set mqtt.ca_file to that CA"
        )
        return f"{where} is not trusted: {reason(error)}; {todo}"
    return f"{where} is not trusted: {reason(error)}"
