import pytest

from loadtest.sizes import number_of


@pytest.mark.parametrize("text", ["many", "255", "", "9" * 5000, "1e3", "-1", "٣٠٠"])
def test_a_wrong_number_names_its_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message says what is wanted."""
    monkeypatch.setenv("REQUESTS", text)
    with pytest.raises(ValueError, match="REQUESTS: a whole number from 256 on is wanted"):
        number_of("REQUESTS", 8000, 256)


def test_a_number_is_read_or_the_default_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, else what the caller gives."""
    monkeypatch.setenv("REQUESTS", "300")
    assert (number_of("REQUESTS", 8000, 256), number_of("ROUNDS_OF_NOBODY", 3, 1)) == (300, 3)
