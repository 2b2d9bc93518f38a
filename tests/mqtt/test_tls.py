"""What a broker's certificate is refused for is named, with what to do; and the ways around that are right."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from detector.core.errors import BrokerError
from detector.mqtt.client import probe
from detector.mqtt.tls import distrust, tls_context
from support.links import MakeBroker, settings
from support.mosquitto import Certificates, make_certificates, program


def verify_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def test_h7_a_certificate_for_another_name_is_named_and_tls_name_helps(make_broker: MakeBroker, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, names="DNS:mosquitto")
    broker = make_broker(certificates=certificates)
    dialled = settings(broker.port, tls=True, ca_file=certificates.ca)
    with pytest.raises(BrokerError, match=r"another name than 127\.0\.0\.1.*mqtt\.tls_name") as caught:
        probe(dialled)
    assert "ca_file" not in str(caught.value)
    probe(settings(broker.port, tls=True, ca_file=certificates.ca, tls_name="mosquitto"))
    with pytest.raises(BrokerError, match="another name than elsewhere"):
        probe(settings(broker.port, tls=True, ca_file=certificates.ca, tls_name="elsewhere"))


def test_h7_an_unknown_ca_is_told_apart_from_the_wrong_one(
    make_broker: MakeBroker, certificates: Certificates, tmp_path: Path
) -> None:
    broker = make_broker(certificates=certificates)
    with pytest.raises(BrokerError, match=r"not trusted.*set mqtt\.ca_file to the CA that signed it"):
        probe(settings(broker.port, tls=True))
    other = make_certificates(tmp_path)
    with pytest.raises(BrokerError, match=r"ca\.pem is not the CA that signed it"):
        probe(settings(broker.port, tls=True, ca_file=other.ca))


def test_h7_a_clock_that_was_never_set_is_named(make_broker: MakeBroker, certificates: Certificates) -> None:
    """The clock cannot be set back here: a certificate that begins tomorrow gives OpenSSL's very answer."""
    tomorrow = certificates.cert.with_name("tomorrow.pem")
    extensions = certificates.cert.with_name("tomorrow.ext")
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    folder = certificates.ca.parent
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    command = [program("openssl"), "ca", "-batch", "-config", folder / "ca.cnf", "-in", folder / "srv.csr"]
    command += ["-cert", certificates.ca, "-keyfile", folder / "ca.key", "-out", tomorrow, "-extfile", extensions]
    command += ["-startdate", "20990101000000Z", "-enddate", "20991231000000Z"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)
    broker = make_broker(certificates=Certificates(ca=certificates.ca, cert=tomorrow, key=certificates.key))
    with pytest.raises(BrokerError, match=r"not valid yet: this machine's clock says 20\d\d-.*set it"):
        probe(settings(broker.port, tls=True, ca_file=certificates.ca))


@pytest.mark.parametrize(
    ("code", "wall", "says"),
    [
        (
            9,
            60.0,
            "the certificate of mqtts://127.0.0.1:8883 is not valid yet: this machine's clock says 1970-01-01 00:01 UTC",
        ),
        (10, 60.0, "1970-01-01"),
        (10, 1_800_000_000.0, "has expired: renew it"),
        (64, 1_800_000_000.0, "another name"),
        (18, 1_800_000_000.0, "set mqtt.ca_file"),
        (79, 1_800_000_000.0, "is not trusted: words"),
    ],
)
def test_h7_each_cause_has_its_line(code: int, wall: float, says: str) -> None:
    line = distrust(verify_error(code, "words"), settings(8883, tls=True), wall=wall)
    assert says in line
    assert "\n" not in line


def test_h7_a_ca_without_key_identifiers_is_taken_under_any_python(
    make_broker: MakeBroker, certificates: Certificates
) -> None:
    context = tls_context(settings(1, tls=True, ca_file=certificates.ca))
    assert context is not None
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
