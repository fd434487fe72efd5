# SPDX-License-Identifier: Apache-2.0
"""A host gets its papers over the API: by a person's token, once, and is expelled again."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from billow.act.authority import secret
from tests.control_planes import ControlPlane
from tests.ha.ears import requested


def test_a_host_is_enrolled_once_and_expelled(
    plane: ControlPlane, viewer_token: str, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    body = {"host": "host-1", "csr": requested(key)}
    with plane.client() as admin, plane.client(viewer_token) as viewer:
        assert viewer.post("/v1/agents/tokens", json={"host": "host-1"}).status_code == 403
        assert admin.post("/v1/agents/tokens", json={"host": "../x"}).status_code == 400
        made = admin.post("/v1/agents/tokens", json={"host": "host-1"})
        assert made.status_code == 201
        bearer = {"Authorization": f"Bearer {made.json()['token']}"}
        assert admin.post("/v1/agents/enrol", json=body).status_code == 403  # that is no such token
        other = body | {"host": "host-2"}
        assert admin.post("/v1/agents/enrol", json=other, headers=bearer).status_code == 403
        enrolled = admin.post("/v1/agents/enrol", json=body, headers=bearer)
        assert enrolled.status_code == 201
        assert admin.post("/v1/agents/enrol", json=body, headers=bearer).status_code == 403
        papers = enrolled.json()
        (tmp_path / "agent.key").write_bytes(secret(key))
        (tmp_path / "agent.crt").write_text(papers["certificate"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(tmp_path / "agent.crt", tmp_path / "agent.key")
        context.load_verify_locations(cadata=papers["ca"])
        shown = x509.load_pem_x509_certificate(papers["certificate"].encode())
        assert shown.subject.rfc4514_string() == "CN=host-1"
        assert admin.delete("/v1/agents/papers/host-1").status_code == 204
        again = admin.delete("/v1/agents/papers/host-1")
        assert again.status_code == 404  # nobody of that name is enrolled any more
        assert "no agent of host 'host-1' is enrolled" in again.json()["title"]
        assert viewer.delete("/v1/agents/papers/host-1").status_code == 403
