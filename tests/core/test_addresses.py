from __future__ import annotations

import ipaddress
import socket

import pytest

from detector.core.addresses import bind_fault, is_local_only, literal, names_this_machine

LOCAL = [
    "127.0.0.1", "127.9.9.9", "0x7f000001", "0x7F.0.0.1", "2130706433", "017700000001", "0177.0.0.1", "127.1", "127.0.1",
    "::1", "[::1]", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "0.0.0.0", "0", "::", "169.254.169.254", "0xa9fea9fe", "2852039166", "fe80::1", "fe80::1%eth0",
    "::ffff:169.254.169.254", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255", "240.0.0.1", "127.0.0.1.",
    "\uff11\uff12\uff17.0.0.1", "127.0.0.%31", "\u2460\u2461\u2466.0.0.1",
]  # fmt: skip
NAMES = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "\uff4cocalhost",
]
FINE = ["10.0.0.4", "192.168.1.2", "172.16.0.9", "8.8.8.8", "fd00::1", "2001:db8::1", "0x0a000004", "167772164", "1.1"]


@pytest.mark.parametrize("host", LOCAL + NAMES)
def test_every_spelling_of_this_machine_and_this_link_is_known(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host", [*FINE, "camera", "cam.example", "127.0.0.1.example.org", "localhost.example", "dead.beef"]
)
def test_other_hosts_are_let_through(host: str) -> None:
    assert not names_this_machine(host)


def test_a_literal_is_read_as_the_c_library_reads_it() -> None:
    assert literal("0x0a000004") == ipaddress.ip_address("10.0.0.4")
    assert literal("camera") is None
    assert not is_local_only(ipaddress.ip_address("::ffff:10.0.0.4"))


def test_an_address_that_cannot_be_listened_on_is_said() -> None:
    assert bind_fault("127.0.0.1", 0) is None
    assert "cannot listen on 192.0.2.1 port 80" in str(bind_fault("192.0.2.1", 80))
    assert "cannot listen on" in str(bind_fault("x" * 70, 1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in str(bind_fault("127.0.0.1", taken.getsockname()[1]))
