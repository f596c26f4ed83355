"""Certificates of a cluster with encrypted connections: an authority, and one certificate that it signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.execution import TlsSettings


def write(folder: Path) -> TlsSettings:
    """Write an authority and a certificate for all processes of a cluster."""
    root, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    files = {
        "ca.pem": _certificate(root, "authority", signer=root).public_bytes(Encoding.PEM),
        "own.pem": _certificate(own, "cluster", signer=root).public_bytes(Encoding.PEM),
        "own.key": own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return TlsSettings(**dict(zip(("ca", "certificate", "key"), (str(folder / name) for name in files), strict=True)))


def _certificate(key: EllipticCurvePrivateKey, name: str, *, signer: EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=key is signer, path_length=None), critical=True)
        .sign(signer, SHA256())
    )
