"""Without a token nobody else is served, and a token is never short."""

from __future__ import annotations

from pathlib import Path

import pytest

from neggen.serving.settings import ServeSettings, check_reach, read_token
from neggen.testing import refuses


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example"])
def test_others_are_served_with_a_token_only(host: str) -> None:
    settings = ServeSettings(run=Path("run"), root=Path(), host=host)
    with refuses(host, "NEGGEN_SERVE_TOKEN", "--token-file"):
        check_reach(settings)
    check_reach(settings.updated(token="0123456789abcdef"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_is_served_without(host: str) -> None:
    check_reach(ServeSettings(run=Path("run"), root=Path(), host=host))


def test_a_file_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NEGGEN_SERVE_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("NEGGEN_SERVE_TOKEN", "token-of-the-environment")
    assert read_token(None).get_secret_value() == "token-of-the-environment"
    file = tmp_path / "token"
    file.write_text("token-of-the-file\n")
    assert read_token(file).get_secret_value() == "token-of-the-file"
    assert "token-of-the-file" not in repr(
        ServeSettings(run=Path("run"), root=Path(), token=read_token(file))
    )


@pytest.mark.parametrize("content", [b"", b"short", b"with\nseveral lines of it", b"\xff" * 20])
def test_poor_tokens_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with refuses(str(file)):
        read_token(file)
    with refuses("missing"):
        read_token(tmp_path / "missing")
