# SPDX-License-Identifier: Apache-2.0
"""What cannot work is said at the start, by the name of its setting and without its secrets."""

import pytest

from billow.errors import Invalid
from billow.ha.channels import open_channels
from billow.settings import Settings

pytestmark = pytest.mark.anyio
FROM, TO = "billow@example.org", ("ada@example.org",)
SECRET = "s3cret"


def refused(**given: object) -> str:
    """Return what is said when channels cannot be opened."""
    with pytest.raises(Invalid) as caught:
        open_channels(Settings.model_validate(given))
    said = str(caught.value)
    assert SECRET not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return said


@pytest.mark.parametrize("setting", ["ha_webhook", "ha_cmdb"])
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"ftp://hooks.example.org/{SECRET}", "ftp://'hooks.example.org'"),
        (f"https://hooks.example.org:99999/{SECRET}", ""),
        (f"https://hooks.example.org:{SECRET}/", ""),
        (f"https://[::1/{SECRET}", ""),
        (f"https:///{SECRET}", ""),
        (f"hooks.example.org/{SECRET}", ""),
        (f"https://hooks.example.org/{SECRET}\n", "https://'hooks.example.org'"),
        (f"https://{'a' * 64}.org/{SECRET}", ""),
    ],
)
def test_a_wrong_url_is_named_but_not_its_path(setting: str, url: str, shown: str) -> None:
    said = refused(**{setting: url})
    assert said.startswith(setting)
    assert shown in said
    assert "fix: " in said


@pytest.mark.parametrize("setting", ["ha_webhook", "ha_cmdb"])
@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}é", f"a {SECRET}"])
def test_a_token_that_no_header_can_bear(setting: str, token: str) -> None:
    said = refused(**{setting: "https://example.org/", f"{setting}_token": token})
    assert said.startswith(f"{setting}_token has a space, a line end or a letter")


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://ada:{SECRET}@mail.example.org:99999",
        f"smtp://ada:{SECRET}@mail.example.org:x",
        f"smtp://ada:{SECRET}é@mail.example.org",
        f"smtp://ada:{SECRET}%C3%A9@mail.example.org",
        f"smtp://ad%C3%A9:{SECRET}@mail.example.org",
        f"http://ada:{SECRET}@mail.example.org",
        f"ada:{SECRET}@mail.example.org",
        f"smtps://ada:{SECRET}@",
        f"smtp://ada:{SECRET}@{'a' * 64}.org",
    ],
)
def test_a_mail_server_that_cannot_be_one(url: str) -> None:
    said = refused(ha_mail_server=url, ha_mail_from=FROM, ha_mail_to=TO)
    assert "ha_mail_server" in said.splitlines()[0]


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@example.org", "ada example.org", "a@b\nBcc: c@d", "<>", "a@b@c"],
)
def test_an_address_to_which_no_mail_goes(address: str) -> None:
    server = "smtp://mail.example.org:25"
    said = refused(ha_mail_server=server, ha_mail_from=address, ha_mail_to=TO)
    assert said.startswith("ha_mail_from needs an address")
    said = refused(ha_mail_server=server, ha_mail_from=FROM, ha_mail_to=(*TO, address))
    assert said.startswith("ha_mail_to needs an address")
    assert "\nBcc" not in said


async def test_what_can_work_is_taken() -> None:
    for server in ("smtp://[::1]:25", f"smtps://ada%40x:{SECRET}%2F@mail.example.org", "smtp://m"):
        settings = Settings(
            ha_webhook="http://user:pw@127.0.0.1:1/hook?x=a b",
            ha_webhook_token="abc-._~+/=",
            ha_cmdb="https://bücher.example/cmdb",
            ha_mail_server=server,
            ha_mail_from="Billow <billow@localhost>",
            ha_mail_to=("ada@example.org, bob@example.org", "jörg@example.org"),
        )
        channels = open_channels(settings)
        assert [each.name for each in channels] == ["webhook", "cmdb", "mail"]
        for channel in channels:
            await channel.aclose()
