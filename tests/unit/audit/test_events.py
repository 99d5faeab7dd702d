import json
import os
import pwd
import re

from mcp_client.audit import events
from mcp_client.audit.run_id import new_run_id

SECRET = "hunter2"


def start(**changes):
    values = {
        "package": "org/name",
        "reference": "org/name@1.2.3",
        "manifest_digest": "sha256:" + "a" * 64,
        "bundle_digest": "sha256:" + "b" * 64,
        "registry": f"https://me:{SECRET}@registry.example/?token={SECRET}",
        "command": "python3",
        "args": ["-m", "server", "--token", SECRET],
        "transport": "stdio",
        "policy": {"network": ["api.example.com"], "subprocess": False, "limits": {"memory": 512}},
        "controls": [("seccomp", "allow-listed", "enforced", "bpf"), ("cpu", "1 core", "degraded", "init")],
        "environment": ["B", f"A={SECRET}", "B"],
    }
    return events.start("run", **(values | changes))


def test_a_start_record_says_who_what_and_how():
    record = start()
    assert record["v"] == 1
    assert record["event"] == "start"
    assert record["run_id"] == "run"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert record["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert (record["uid"], record["pid"]) == (os.getuid(), os.getpid())
    assert record["package"] == "org/name"
    assert record["reference"] == "org/name@1.2.3"
    assert record["registry"] == "https://[redacted]@registry.example/"
    assert record["entrypoint"] == {"command": "python3", "args": ["-m", "server", "--token", "[redacted]"]}
    assert record["policy"] == {
        "network": ["api.example.com"],
        "subprocess": False,
        "limits": {"memory": 512},
    }
    assert record["enforcement"] == {"seccomp": "enforced", "cpu": "degraded"}
    assert record["requested"] == {"seccomp": "allow-listed", "cpu": "1 core"}
    assert record["mechanisms"] == {"seccomp": "bpf", "cpu": "init"}
    assert record["degraded"] is True
    assert record["environment"] == ["A", "B"]


def test_no_secret_is_in_a_start_record():
    policy = {
        "mounts": [("https://u:hunter2@h",)],
        "note": "password=hunter2",
        "deep": {"a": {"b": ["token=hunter2"]}},
    }
    assert SECRET not in json.dumps(start(policy=policy))


def test_anything_becomes_json():
    loop = []
    loop.append(loop)
    policy = {1: {2, 3}, "bytes": b"x", "object": object, "loop": loop, "half": "\ud800", "many": range(3)}
    assert json.loads(json.dumps(start(policy=policy)))["policy"]["1"] == [2, 3]


def test_an_end_record_says_how_it_ended():
    record = events.end(
        "run",
        outcome="signal",
        signal=9,
        reason="grace over, token=hunter2",
        duration=1.23456,
        cpu=0.98765,
        peak_memory=1024,
        network=[{"destination": "api.example.com:443", "allowed": 2}],
    )
    assert record["event"] == "end"
    assert (record["outcome"], record["exit_code"], record["signal"]) == ("signal", None, 9)
    assert record["reason"] == "grace over, token=[redacted]"
    assert (record["duration_seconds"], record["cpu_seconds"]) == (1.235, 0.988)
    assert record["peak_memory_bytes"] == 1024
    assert record["network"] == [{"destination": "api.example.com:443", "allowed": 2}]


def test_refusals_and_errors_carry_their_code():
    for build, event in ((events.refused, "refused"), (events.error, "error")):
        record = build("run", reference="org/name@1.2.3", code="digest-mismatch", message="token=hunter2")
        assert (record["event"], record["code"]) == (event, "digest-mismatch")
        assert record["message"] == "token=[redacted]"
        assert record["reference"] == "org/name@1.2.3"


def test_run_ids_are_random():
    ids = {new_run_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", run_id) for run_id in ids)
