"""A proxy before a server that writes down what it sees."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from endpoint import Direct, Recorder, Running, answering


@pytest.fixture
def serve():
    """Start a server behind and a proxy before it; both are gone after the test."""
    started = []

    def start(handle=None, guard=None):
        recorder = Recorder(handle or answering())
        running = Running(Direct(recorder.address), guard)
        running.recorder = recorder
        started.append((running, recorder))
        return running

    yield start
    for running, recorder in started:
        running.close()
        recorder.close()
