# SPDX-License-Identifier: Apache-2.0
"""Real use, as a Prometheus tells of it: served by a small one of our own."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from billow.engines.openstack.read.use import Prometheus
from billow.errors import Unavailable

pytestmark = pytest.mark.anyio
SERVER = "0e1f2a3b-0000-4000-8000-000000000001"
SERIES: dict[str, list[dict[str, Any]]] = {
    "rate(node_cpu": [
        {"metric": {"instance": "cmp-1.example:9100"}, "value": [0, "12.5"]},
        {"metric": {"fqdn": "cmp-2"}, "value": [0, "NaN"]},
    ],
    "node_memory": [{"metric": {"instance": "cmp-1.example:9100"}, "value": [0, "1073741824"]}],
    "rate(ceilometer_cpu": [
        {"metric": {"resource": SERVER}, "value": [0, "0.5"]},
        {"metric": {"resource": "no server"}, "value": [0, "1"]},
        {"metric": {}, "value": "odd"},
    ],
    "ceilometer_memory_usage": [{"metric": {"resource": SERVER}, "value": [0, "512"]}],
}


class Small(BaseHTTPRequestHandler):
    """A Prometheus with four series."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        rows = next((found for part, found in SERIES.items() if part in query), [])
        body = json.dumps({"status": "success", "data": {"result": rows}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Small)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_hosts_and_servers_by_their_names(url: str) -> None:
    gauge = Prometheus(url)
    hosts, servers = await gauge.read()
    await gauge.aclose()
    for name in ("cmp-1", "cmp-1.example", "cmp-1.example:9100"):
        assert (hosts[name].cpu_milli, hosts[name].memory_mib) == (12_500, 1024)
    assert "cmp-2" not in hosts
    assert servers.keys() == {SERVER}
    assert (servers[SERVER].cpu_milli, servers[SERVER].memory_mib) == (500, 512)


async def test_what_nobody_measures_is_not_a_number(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(SERIES, "node_memory")
    gauge = Prometheus(url)
    hosts, _ = await gauge.read()
    await gauge.aclose()
    assert math.isnan(hosts["cmp-1"].memory_mib)


async def test_a_prometheus_that_is_not_there() -> None:
    gauge = Prometheus("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="Prometheus"):
        await gauge.read()
    await gauge.aclose()
