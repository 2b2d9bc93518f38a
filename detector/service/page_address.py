"""Where people on other machines find the page: what Home Assistant links to as "Visit"."""

from __future__ import annotations

import ipaddress

from detector.config.schema import Api


def page_address(api: Api, *, port: int, towards_broker: str | None) -> str | None:
    """`api.public_url`; else the address that the API is bound to; None where that leads nowhere from elsewhere.

    `port`: where it listens. `towards_broker`: this machine's address in its connection to the broker, which stands
    in where the API is bound to all addresses.
    """
    if api.public_url is not None:
        return f"{api.public_url.rstrip('/')}/"
    host = api.host if api.host not in ("0.0.0.0", "::") else _same_family(api.host, towards_broker)  # noqa: S104 - compared, not bound
    if host is None or not _is_reachable(host):
        return None
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _same_family(bound: str, address: str | None) -> str | None:
    """`address` if the API listens there: 0.0.0.0 is IPv4 alone, :: both."""
    if address is None:
        return None
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed) if parsed.version == 4 or bound == "::" else None


def _is_reachable(host: str) -> bool:
    """False for this machine alone, and for link-local IPv6, which no browser finds without its interface."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.rstrip(".").lower() != "localhost"
    return not (address.is_loopback or (address.version == 6 and address.is_link_local))
