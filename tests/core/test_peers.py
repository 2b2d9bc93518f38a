"""Who counts as one client, and one log line a minute."""

from __future__ import annotations

import pytest

from detector.core.peers import LogLimit, peer_key


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("", "loopback"),
    ],
)
def test_addresses_are_counted_by_who_has_them(host: str, key: str) -> None:
    assert peer_key(host) == key


def test_one_line_a_period_and_a_count() -> None:
    now = [0.0]
    limit = LogLimit(period_s=60.0, now=lambda: now[0])
    lines = 0
    for second in range(180):
        now[0] = float(second)
        lines += sum(limit.due() for _ in range(10))
    assert (lines, limit.total) == (3, 1800)
