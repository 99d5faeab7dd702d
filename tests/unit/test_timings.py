"""Marks of several processes make one account of a run."""

import os

from mcp_client.sandbox import channel
from mcp_client.timings import Timings


def in_a_child(action):
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_stages_follow_one_another_and_add_up():
    timings = Timings()
    timings.mark("one")
    timings.mark("two")
    stages = timings.stages()
    assert [stage.name for stage in stages] == ["interpreter start (processor time)", "one", "two"]
    assert {stage.process for stage in stages} == {"mcp"}
    assert all(stage.took >= 0 for stage in stages)
    assert abs(sum(stage.took for stage in stages) - stages[-1].at) < 1e-9


def test_what_forked_processes_mark_is_seen_in_the_first():
    timings = Timings()
    timings.mark("before")

    def porter():
        timings.mark("a")
        in_a_child(lambda: timings.mark("b"))
        timings.mark("c")

    in_a_child(porter)
    timings.mark("after")
    found = [(stage.process, stage.name) for stage in timings.stages()][1:]
    assert found == [("mcp", "before"), ("porter", "a"), ("init", "b"), ("porter", "c"), ("mcp", "after")]


def test_more_marks_than_there_is_room_for_are_dropped():
    timings = Timings()
    for number in range(1000):
        timings.mark(f"{number} " + "x" * 100)
    timings.mark("last")
    stages = timings.stages()
    assert len(stages) == 64
    assert stages[-1].name.startswith("62 xxx")


def test_a_stream_is_marked_at_its_end_and_passes_unchanged():
    timings = Timings()
    chunks = timings.follow(iter([b"a", b"b"]), "stream")
    assert next(chunks) == b"a"
    assert len(timings.stages()) == 1
    assert list(chunks) == [b"b"]
    assert timings.stages()[-1].name == "stream"


def test_a_stream_that_is_left_early_is_closed_and_not_marked():
    closed = []

    def source():
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    timings = Timings()
    chunks = timings.follow(source(), "stream")
    next(chunks)
    chunks.close()
    assert closed
    assert len(timings.stages()) == 1


def test_the_first_byte_is_not_seen_on_a_device():
    """Anybody writes to /dev/null."""
    saved, null = os.dup(1), os.open("/dev/null", os.O_WRONLY)
    timings = Timings()
    os.dup2(null, 1)
    try:
        timings.watch_launch()
        os.write(1, b"x")
    finally:
        channel.step.watch = None
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
    timings.finish()
    assert len(timings.stages()) == 1


def test_the_first_byte_is_seen_in_a_pipe_even_if_nobody_waited_for_it():
    saved, (read, write) = os.dup(1), os.pipe()
    timings = Timings()
    os.dup2(write, 1)
    try:
        timings.watch_launch()
        os.write(1, b"x")
    finally:
        channel.step.watch = None
        os.dup2(saved, 1)
        for descriptor in (saved, read, write):
            os.close(descriptor)
    timings.finish()
    assert timings.stages()[-1].name == "first byte on standard output"
