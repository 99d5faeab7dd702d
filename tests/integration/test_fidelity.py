"""stdout belongs to the server: every byte of it, and none of ours."""

import hashlib
import os
import threading

import pytest
from kit import programs
from kit.command import Mcp, refused
from kit.registry import Fault, Registry

GIGABYTE = 1 << 30
PIECE = 1 << 20


def test_a_gigabyte_comes_back_identical(warm: Mcp) -> None:
    """Neither side ever holds more than a piece: both digests grow while the bytes flow."""
    seed = os.urandom(PIECE + 4093)  # pieces overlap differently at every turn
    sent, received = hashlib.sha256(), hashlib.sha256()
    with warm.start("run", programs.single().reference, "--", "cat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writer = threading.Thread(target=_feed, args=(process.stdin, seed, sent))
        writer.start()
        total = 0
        while piece := process.stdout.read1(PIECE):
            received.update(piece)
            total += len(piece)
        writer.join()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert total == GIGABYTE
    assert received.digest() == sent.digest()
    assert process.returncode == 0


def _feed(pipe: object, seed: bytes, digest: "hashlib._Hash") -> None:
    rest, at = GIGABYTE, 0
    view = memoryview(seed)
    while rest:
        piece = view[at : at + min(PIECE, rest)]
        digest.update(piece)
        pipe.write(piece)
        rest, at = rest - len(piece), (at + 1) % 4093
    pipe.close()


def test_a_line_of_twenty_megabytes_passes(warm: Mcp) -> None:
    line = b'{"jsonrpc":"2.0","result":"' + b"x" * 20_000_000 + b'"}\n'
    result = warm.run("run", programs.single().reference, "--", "cat", given=line)
    assert result.status == 0, result.stderr
    assert result.stdout == line


def test_bytes_that_are_no_text_pass(warm: Mcp) -> None:
    data = bytes(range(256)) * 64 + b"\r\n\0\xff\xfe no newline at the end"
    assert warm.run("run", programs.single().reference, "--", "cat", given=data).stdout == data


def test_verbose_writes_to_stderr_only(warm: Mcp) -> None:
    result = warm.run("run", "-v", programs.single().reference, "--", "cat", given=b"only this")
    assert result.status == 0, result.stderr
    assert result.stdout == b"only this"
    assert result.stderr


def test_verbose_says_nothing_on_stdout_while_it_downloads(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    result = mcp.run(
        "--log-level", "debug", "run", "-v", programs.single().reference, "--", "cat", given=b"only"
    )
    assert result.status == 0, result.stderr
    assert result.stdout == b"only"


def test_warnings_leave_stdout_alone(mcp: Mcp, registry: Registry) -> None:
    one = programs.single()
    registry.publish(one)
    answer = registry.answer(one.reference)
    assert answer is not None
    registry.answers[one.reference] = {**answer, "status": "deprecated"}
    result = mcp.run("run", one.reference, "--", "arguments", "only this")
    assert result.stdout == b"only this\n"
    assert "deprecated" in result.stderr


@pytest.mark.parametrize("flags", [(), ("-v",)])
def test_a_failure_leaves_stdout_empty(mcp: Mcp, registry: Registry, flags: tuple[str, ...]) -> None:
    one = programs.single()
    registry.publish(one)
    registry.faults["bundle"] = Fault(body=one.bundle[:-1] + b"?")
    refused(mcp.run("run", *flags, one.reference, "--", "cat"), "digest-mismatch")


def test_stderr_of_the_server_passes_through(warm: Mcp) -> None:
    result = warm.run("run", programs.single().reference, "--", "until_eof", given=b"")
    assert result.status == 5
    assert result.stderr == "saw the end of stdin\n"


def test_arguments_after_the_dashes_are_appended_as_they_are(warm: Mcp) -> None:
    given = ["--help", "-v", "two words", "${bundle}", "", "é", "--", "*"]
    result = warm.run("run", programs.single().reference, "--", "arguments", *given)
    assert result.stdout.decode().split("\n")[:-1] == given
