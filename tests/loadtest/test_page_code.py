from loadtest.page_code import AT_ONCE, key_lines, tick_lines


def test_ticks_tell_what_changed() -> None:
    """One line each for one, a tenth and all of the limits; more bytes where more changed."""
    text = "domain: bench\ndescriptors:\n" + "".join(
        f"- {{key: k{n}, rate_limit: {{unit: day, requests_per_unit: 1}}}}\n" for n in range(20)
    )
    lines = list(tick_lines(text, [f"bench.k{n}" for n in range(20)], rounds=2))
    assert [line.split(" of ")[0] for line in lines] == ["1", "2", "20"]
    sizes = [int(line.split(" and ")[1].split()[0].replace(",", "")) for line in lines]
    assert sizes[0] < sizes[1] < sizes[2]


def test_of_many_keys_one_in_several_is_noted() -> None:
    """And of a single one each hit."""
    one, new = key_lines(50_000, 4 * AT_ONCE)
    assert "one key, one hit in 1:" in one
    assert "keys ever new, one hit in 1:" not in new
