from ratelimit.descriptors.specification import LimitSpecification, Place, shown


def test_an_error_stays_short_whatever_the_file_holds() -> None:
    """A megabyte in a file is not a megabyte in the log; both ends of it are told."""
    error = Place("f.yaml", 3, "a." * 100_000 + "end").error("x" * 1_000_000)
    assert len(str(error)) < 1000
    assert (error.file, error.line, error.key_path[-3:]) == ("f.yaml", 3, "end")


def test_what_is_shown_is_one_printable_line() -> None:
    """Line ends and control characters are escaped, so no file can forge a log line."""
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"


def test_a_field_that_is_not_given_has_the_place_of_what_holds_it() -> None:
    """An error always has a line."""
    limit = LimitSpecification(Place("f", 5, "rate_limit"), places={"unit": Place("f", 6, "rate_limit.unit")})
    assert [limit.place_of(name).line for name in ("unit", "name")] == [6, 5]
