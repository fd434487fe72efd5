# SPDX-License-Identifier: Apache-2.0
"""Settings that cannot be used are told in words, and not as a traceback."""

from pathlib import Path

import pytest

from billow.cli.up import settings_of
from billow.errors import Invalid


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        ("listen = = 3", "billow.toml is no TOML: line 1, column 10"),
        ("hosts = 0", "a setting is not valid"),
        ("\udcff", "billow.toml cannot be read"),
    ],
)
def test_a_broken_file_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, brief: str
) -> None:
    (tmp_path / "billow.toml").write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid) as refused:
        settings_of({})
    assert refused.value.brief == brief
    assert "settings" in refused.value.fix
