"""The sentences that errors end in."""

from __future__ import annotations

import pytest

from neggen.errors import NegGenError, from_extra


def test_a_missing_package_of_an_extra_is_one_sentence() -> None:
    with (
        pytest.raises(NegGenError) as raised,
        from_extra("export", "The format faiss needs faiss-cpu"),
    ):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401
    assert str(raised.value) == (
        "The format faiss needs faiss-cpu (No module named 'no_such_package'); install what is "
        'missing with: pip install "neggen[export]"'
    )
