"""A block of lines on a real terminal: what is on the screen meanwhile, and what is left of it."""

import io
import os
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from kit.terminal import Terminal

from mcp_client.cli.display import Block, Lines
from mcp_client.cli.progress import Downloads, downloads_of_a_person, show_downloads

MB = 1_000_000


@contextmanager
def on(terminal, monkeypatch):
    """Standard error is this terminal, and something stands on it."""
    monkeypatch.setenv("TERM", "xterm")
    with open(os.dup(terminal.descriptor), "w", encoding="utf-8") as stream:
        stream.write("$ mcp pull\n")
        stream.flush()
        monkeypatch.setattr(sys, "stderr", stream)
        with show_downloads() as downloads:
            yield downloads
    while terminal.take():
        pass


def lines_with(terminal, word):
    return [line for line in terminal.shown() if word in line]


def test_several_downloads_each_have_their_line(monkeypatch):
    with Terminal() as terminal:
        with (
            on(terminal, monkeypatch) as downloads,
            downloads.transfer("acme/one@1.0.0", "bundle", 100 * MB) as one,
            downloads.transfer("acme/two@2.0.0", "bundle") as two,
        ):
            one.done, two.done = 45 * MB, 3 * MB
            terminal.until(lambda: bool(lines_with(terminal, "45%")))
            first, second = terminal.shown()[1:]
            assert first.startswith("acme/one@1.0.0  bundle     45%  45.0MB of 100MB")
            assert "/s  " in first
            assert first.endswith(" left")
            assert second.startswith("acme/two@2.0.0  bundle    3.00MB")
            assert "left" not in second
        assert terminal.shown() == ["$ mcp pull"]
        assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (1, 0)
        assert not terminal.screen.cursor.hidden


def test_a_line_goes_when_its_download_is_over(monkeypatch):
    with Terminal() as terminal, on(terminal, monkeypatch) as downloads:
        with downloads.transfer("acme/one@1.0.0", "bundle"):
            with downloads.transfer("acme/two@1.0.0", "bundle"):
                terminal.until(lambda: len(terminal.shown()) == 3)
            terminal.until(lambda: not lines_with(terminal, "two"))
            assert lines_with(terminal, "one")
        terminal.until(lambda: terminal.shown() == ["$ mcp pull"])


@pytest.mark.parametrize("columns", [1, 2, 10, 30, 50, 79])
def test_no_line_is_wider_than_the_terminal(monkeypatch, columns):
    name = f"acme/{'n' * 100}@1.0.0"
    with Terminal(columns, 40) as terminal:
        # Wrapped before we come.
        before = ["$ mcp pull"[start : start + columns].rstrip() for start in range(0, 10, columns)]
        with (
            on(terminal, monkeypatch) as downloads,
            downloads.transfer(name, "bundle", 100 * MB) as one,
            downloads.transfer(name, "manifest", 100) as two,
        ):
            one.done, two.done = 50 * MB, 10
            terminal.until(lambda: terminal.raw.count(b"\x1b[J") >= 3)
            drawn = terminal.shown()
            if columns > 2:
                assert len(drawn) == len(before) + 2
                assert drawn[-2].startswith("acme/n"[: max(1, columns // 5)])
            if columns >= 50:
                assert "...n" in drawn[-2] or "...@1.0.0" in drawn[-2]
                assert "50%" in drawn[-2]
        assert terminal.shown() == before


def test_more_downloads_than_the_terminal_has_rows(monkeypatch):
    with Terminal(60, 6) as terminal:
        with on(terminal, monkeypatch) as downloads:
            opened = [downloads.transfer(f"acme/p{number}@1.0.0", "bundle", MB) for number in range(20)]
            for one in opened:
                one.__enter__()
            terminal.until(lambda: bool(lines_with(terminal, "and 16 more")))
            seen = terminal.raw.count(b"\x1b[J")
            terminal.until(lambda: terminal.raw.count(b"\x1b[J") > seen + 2)
            assert len(lines_with(terminal, "acme/")) == 4
            for one in opened:
                one.__exit__(None, None, None)
        assert [line for line in terminal.scrolled() + terminal.shown() if line] == ["$ mcp pull"]


def test_what_is_said_meanwhile_stands_above_and_is_not_drawn_over(monkeypatch):
    with Terminal() as terminal:
        with on(terminal, monkeypatch) as downloads, downloads.transfer("acme/one@1.0.0", "bundle", MB):
            terminal.until(lambda: bool(lines_with(terminal, "acme/one")))
            sys.stderr.write("mcp: warning: it is deprecated\n")
            # A line in two pieces, with time to draw between them.
            print("mcp: warning:", end=" ", file=sys.stderr)
            time.sleep(0.25)
            print("another", file=sys.stderr)
            terminal.until(lambda: len(terminal.shown()) == 4)
            assert "acme/one" in terminal.shown()[3]
        assert terminal.shown() == ["$ mcp pull", "mcp: warning: it is deprecated", "mcp: warning: another"]
        assert not hasattr(sys.stderr, "_block")


@pytest.mark.parametrize("columns", [40, 120])
def test_another_size_of_the_terminal_is_taken_up(monkeypatch, columns):
    with Terminal(80, 24) as terminal:
        with on(terminal, monkeypatch) as downloads, downloads.transfer("acme/one@1.0.0", "bundle", MB):
            terminal.until(lambda: bool(lines_with(terminal, "acme/one")))
            terminal.resize(columns, 24)
            seen = terminal.raw.count(b"\x1b[J")
            terminal.until(lambda: terminal.raw.count(b"\x1b[J") > seen + 2)
            assert len(lines_with(terminal, "acme/one")) == 1
        assert terminal.shown() == ["$ mcp pull"]


def test_threads_may_begin_and_end_as_they_like(monkeypatch):
    with Terminal() as terminal:
        with on(terminal, monkeypatch) as downloads:

            def work(number):
                for _ in range(200):
                    with downloads.transfer(f"acme/p{number}@1.0.0", "bundle", MB) as transfer:
                        transfer.done += MB

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                terminal.take(0.05)
        assert terminal.shown() == ["$ mcp pull"]


def test_nobody_draws_when_nothing_is_under_way(monkeypatch):
    with Terminal() as terminal, on(terminal, monkeypatch) as downloads:
        before = threading.active_count()
        with downloads.transfer("acme/one@1.0.0", "bundle"):
            assert threading.active_count() == before + 1
        assert threading.active_count() == before


def test_it_is_drawn_ten_times_a_second_at_most_however_often_it_counts(monkeypatch):
    with Terminal() as terminal:
        with on(terminal, monkeypatch) as downloads, downloads.transfer("acme/one@1.0.0", "bundle") as one:
            began = time.monotonic()
            while time.monotonic() < began + 0.5:
                one.done += 1
            took = time.monotonic() - began
        assert one.done > 10_000
        # One more is the block's end.
        assert terminal.raw.count(b"\x1b[J") <= took / 0.1 + 2


def test_an_interruption_leaves_a_clean_screen(monkeypatch):
    def interrupted(terminal):
        with on(terminal, monkeypatch) as downloads, downloads.transfer("acme/one@1.0.0", "bundle", MB):
            terminal.until(lambda: bool(lines_with(terminal, "acme/one")))
            raise KeyboardInterrupt

    with Terminal() as terminal:
        with pytest.raises(KeyboardInterrupt):
            interrupted(terminal)
        while terminal.take():
            pass
        assert terminal.shown() == ["$ mcp pull"]


def test_a_log_has_a_line_at_the_start_and_one_at_the_end():
    stream = io.StringIO()
    downloads = Downloads(Lines(stream))

    for work, size in (("resolving", None), ("manifest", 900), ("bundle", 20 * MB)):
        with downloads.transfer("acme/one@1.0.0", work, size) as one:
            one.done = size or 0
    with pytest.raises(ValueError), downloads.transfer("acme/one@1.0.0", "bundle"):
        raise ValueError

    first, second = stream.getvalue().splitlines()
    assert first == "mcp: acme/one@1.0.0: bundle, 20.0MB"
    assert second.startswith("mcp: acme/one@1.0.0: bundle, 20.0MB in ")
    assert second.endswith("/s)")


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_terminal_that_obeys_nothing_gets_plain_lines(monkeypatch, term):
    with Terminal() as terminal:
        with on(terminal, monkeypatch):
            (monkeypatch.setenv("TERM", term) if term else monkeypatch.delenv("TERM"))
            with show_downloads() as downloads, downloads.transfer("acme/one@1.0.0", "bundle", MB):
                time.sleep(0.15)
        assert b"\x1b" not in terminal.raw
        assert len(lines_with(terminal, "acme/one@1.0.0: bundle, 1.00MB")) == 1


def test_quiet_is_quiet(monkeypatch):
    with Terminal() as terminal:
        with (
            on(terminal, monkeypatch),
            show_downloads(quiet=True) as downloads,
            downloads.transfer("acme/one@1.0.0", "bundle", MB),
        ):
            time.sleep(0.15)
        assert terminal.raw.strip() == b"$ mcp pull"


@pytest.mark.parametrize("other", ["stdin", "stdout", "stderr", None])
def test_a_run_shows_downloads_only_when_everything_is_a_terminal(monkeypatch, other):
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as terminal, open(os.devnull, "r+", encoding="utf-8") as nothing:
        with open(os.dup(terminal.descriptor), "w", encoding="utf-8") as stream:
            for name in ("stdin", "stdout", "stderr"):
                monkeypatch.setattr(sys, name, nothing if name == other else stream)
            display = downloads_of_a_person()._display

        assert isinstance(display, Block) == (other is None)
