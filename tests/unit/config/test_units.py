import pytest

from mcp_client.config.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1d", 86_400),
        ("1.5s", 1.5),
        ("1h1s", 3601),
        ("90", 90),
        (" 5M ", 300),
        (7, 7),
        (0.25, 0.25),
    ],
)
def test_durations_are_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "5 m", "5x", "-5s", "0", "0s", 0, -1, "1m1h", "1m2m", "1e3", "nan", float("nan"), float("inf"),
     True, "99999d", "1" * 400, "५s", "5s\n;"],
)  # fmt: skip
def test_other_durations_are_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 << 20),
        ("10GB", 10**10),
        ("1GiB", 1 << 30),
        ("1 kB", 1000),
        ("1.5K", 1536),
        ("42", 42),
        ("42b", 42),
        (42, 42),
        ("2tb", 2 * 10**12),
    ],
)
def test_sizes_are_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "0", 0, -5, "1XB", "1 0M", "1e9", True, "9" * 400, "5000000T", "1bb", 1.5, None]
)
def test_other_sizes_are_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected a size such as"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500ms"), (30, "30s"), (5400, "1h30m"), (86_400.001, "1d1ms"), (0, "0s"), (1.5, "1s500ms")],
)
def test_durations_are_shown_short(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [0.001, 0.999, 59.5, 3_600, 90_061.25, 1_000_000])
def test_a_shown_duration_reads_back(seconds):
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.00kB"),
        (1_500_000, "1.50MB"),
        (99_960, "100kB"),
        (999_600, "1.00MB"),
        (10**10, "10.0GB"),
        (1 << 60, "1.15EB"),
    ],
)
def test_sizes_are_shown_in_three_digits(size, text):
    assert format_size(size) == text
