# SPDX-License-Identifier: Apache-2.0
"""Forms are read without trust, and what they ask for is what the command line would ask for."""

import shlex

import pytest
from starlette.requests import Request
from typer.testing import CliRunner

from billow.cli.main import app
from billow.errors import Invalid, Unavailable
from billow.model.ask import Ask, AskVerb
from billow.model.kinds import Kind, Service
from billow.model.shape import Shape
from billow.web import commands
from billow.web.forms import MOST_BYTES, Form
from billow.web.pages.login import _inside
from billow.web.requested import shape_from, wish_from

FORM_TYPE = "application/x-www-form-urlencoded"


def form(**fields: str) -> Form:
    return Form(list(fields.items()))


def request_with(body: bytes, kind: str = FORM_TYPE) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=1", "application/json"),
        (b"a=1", "multipart/form-data; boundary=x"),
        (b"a=1", ""),
        (b"a=%ff", FORM_TYPE),
        (b"a=\xff", FORM_TYPE),
        (b"a=" + b"x" * MOST_BYTES, FORM_TYPE),
        (b"&".join([b"a=1"] * 20_000), FORM_TYPE),
    ],
)
async def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(Invalid):
        await Form.read(request_with(body, kind))


@pytest.mark.anyio
async def test_a_form_is_read() -> None:
    sent = await Form.read(request_with(b"a=+x+&b=&name=1&name=2&name=1&u=%E2%9C%93"))
    assert (sent.text("a"), sent.text("b"), sent.text("c"), sent.text("u")) == (
        "x",
        "",
        "",
        "\u2713",
    )
    assert sent.each("name") == ["1", "2"]


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "NaN", "٣", "0x10", "9" * 30, "11", "--1"])
def test_a_number_out_of_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match="count"):
        form(count=text).amount("count", 1, most=10)


@pytest.mark.parametrize("text", ["-1", "NaN", "inf", "1e400", "x", "5000"])
def test_cpus_must_make_sense(text: str) -> None:
    with pytest.raises(Invalid, match="cpus"):
        wish_from(form(name="a", cpus=text))
    with pytest.raises(Invalid, match="cpus"):
        wish_from(form(name="a", cpus="0"))


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "../x", "a/b", "<script>", "a" * 64, "-a", "\u202ea", "é"]
)
def test_a_name_must_be_a_name(name: str) -> None:
    with pytest.raises(Invalid):
        wish_from(form(name=name))


def test_a_wish_becomes_requests() -> None:
    wish = wish_from(
        form(name="web", count="3", cpus="1.5", memory_mib="2048", kind="container",
             group="g", rule="anti-affinity", scope="rack", strategy="pack", image="debian",
             huge_pages="on", numa_nodes="1", zone="z1", priority="-5", service="batch",
             migration="post_copy")
    )  # fmt: skip
    assert [each.id for each in wish.requests] == ["web-1", "web-2", "web-3"]
    first = wish.requests[0]
    assert first.kind is Kind.CONTAINER
    assert first.service is Service.BATCH
    assert first.shape == Shape("c1500-m2048-n1-huge", 1500, 2048, 1, huge_pages=True)
    assert wish.groups[0].name == "g"
    line = commands.create(wish.requests, wish.groups, wish.strategy, wish.name)
    assert line == (
        "billow instance create web cpu=1.5 memory=2048MiB numa=1 huge=true kind=container "
        "service=batch migration=post_copy image=debian zone=z1 group=g priority=-5 --count 3 "
        "--group=g:anti-affinity:rack --set=strategy=pack"
    )


def test_a_service_is_one_of_two() -> None:
    assert wish_from(form(name="a")).requests[0].service is Service.LATENCY
    with pytest.raises(Invalid, match="service"):
        wish_from(form(name="a", service="best-effort"))


def test_a_new_size_keeps_what_was_not_said() -> None:
    old = Shape("old", 2000, 4096, 2, gpus=1, traits=frozenset({"ssd"}))
    new = shape_from(form(cpus="4"), old)
    assert (new.cpu_milli, new.memory_mib, new.numa_nodes, new.gpus) == (4000, 4096, 2, 1)
    assert new.traits == old.traits
    assert new.name != old.name


def lines() -> list[str]:
    """Return a command line of every kind that the console shows."""
    wish = wish_from(form(name="web", count="2", group="g", rule="affinity", strategy="pack"))
    shape = Shape("s", 1500, 2048)
    figures = (AskVerb.RESIZE, AskVerb.THROTTLE, AskVerb.ALLOT)
    shown = [commands.ask(Ask(verb, "a")) for verb in AskVerb if verb not in figures]
    return [
        *shown,
        commands.ask(Ask(AskVerb.RESIZE, "a", shape=shape)),
        commands.throttle("a", 1.5),
        commands.allot("h", 3, 1.5),
        commands.report("sample", {"rows": "2"}, "p"),
        commands.plan("placement", {"strategy": "pack"}),
        commands.ask(Ask(AskVerb.MIGRATE, "a", "h2", why="it's hot")),
        commands.create(wish.requests, wish.groups, wish.strategy, wish.name),
        commands.create(wish.requests[:1], (), "spread", "web"),
        *(commands.show(noun, "x") for noun in ("host", "instance", "plan", "run")),
        *(commands.line(noun, "list") for noun in ("host", "instance", "plan", "run", "event")),
        commands.apply("p"),
        commands.undo("r"),
        commands.stop("r"),
        commands.line("plan", "why-not", "p"),
        "billow instance create web --service=batch --policy=strategy=pack --set=cpu_weight=2",
        "billow instance list --service=batch --sort=-cpu_wait",
    ]


@pytest.mark.parametrize("line", lines())
def test_the_cli_knows_every_line(line: str) -> None:
    """Each is understood, and fails for no other reason than that no control plane listens."""
    program, *words = shlex.split(line)
    assert program == "billow"
    options = ["--url", "http://127.0.0.1:9", "--token", "x"]
    answer = CliRunner().invoke(app, [*words, *options])
    assert isinstance(answer.exception, Unavailable), (answer.output, answer.exception)


@pytest.mark.parametrize(
    "path",
    ["", "//evil.example", "/\\evil", "https://evil.example", "javascript:alert(1)", "/a\nb",
     "\\\\evil", "evil", "/" + "a" * 3000],
)  # fmt: skip
def test_the_way_back_after_login_stays_inside(path: str) -> None:
    assert _inside(path) == ""


def test_the_way_back_after_login_is_kept() -> None:
    assert _inside("/hosts?zone=z1") == "/hosts?zone=z1"
