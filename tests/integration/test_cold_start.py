"""The first use of a package: who fetches what, and how often."""

import concurrent.futures

from kit import programs, servers
from kit.command import Mcp, refused
from kit.registry import Fault, Registry


def test_ten_processes_fetch_a_cold_package_once(mcp: Mcp, registry: Registry) -> None:
    server = servers.everything_server()
    registry.publish(server.package)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        pulls = [pool.submit(mcp.run, "pull", server.package.reference) for _ in range(10)]
        results = [pull.result() for pull in pulls]
    assert [result.status for result in results] == [0] * 10, results
    assert [len(registry.requests(place)) for place in ("manifest", "bundle")] == [1, 1]
    assert mcp.cached("staging") == []
    assert len(mcp.cached("manifests")) == len(mcp.cached("bundles")) == len(mcp.cached("trees")) == 1


def test_ten_runs_of_a_cold_package_fetch_it_once_and_all_run(mcp: Mcp, registry: Registry) -> None:
    one = programs.single()
    registry.publish(one)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        runs = [
            pool.submit(mcp.run, "run", one.reference, "--", "arguments", f"{number}") for number in range(10)
        ]
        results = [run.result() for run in runs]
    assert [result.stdout for result in results] == [f"{number}\n".encode() for number in range(10)], results
    assert [len(registry.requests(place)) for place in ("manifest", "bundle")] == [1, 1]


def test_a_registry_that_only_knows_get_is_understood(mcp: Mcp) -> None:
    with Registry("get") as registry:
        registry.publish(programs.single())
        command = Mcp(mcp.folder, registry.url)
        assert command.run("run", programs.single().reference, "--", "leave", "3").status == 3


def test_artifacts_behind_a_redirect(mcp: Mcp, registry: Registry) -> None:
    one = programs.single()
    registry.publish(one)
    answer = registry.answer(one.reference)
    assert answer is not None
    for kind in ("manifest", "bundle"):
        answer[kind] = {**answer[kind], "url": f"/moved{answer[kind]['url']}"}
    registry.answers[one.reference] = answer
    assert mcp.run("run", one.reference, "--", "leave", "3").status == 3
    assert [entry.place for entry in registry.log].count("redirect") == 2


def test_a_token_goes_to_the_registry_and_nowhere_else(mcp: Mcp, registry: Registry) -> None:
    """Another port of the same host is another origin."""
    one = programs.single()
    with Registry() as elsewhere:
        elsewhere.publish(one)
        registry.publish(one)
        registry.token = "sesame-5f1e"
        answer = registry.answer(one.reference)
        assert answer is not None
        answer["bundle"] = {**answer["bundle"], "url": f"{elsewhere.url}{answer['bundle']['url']}"}
        registry.answers[one.reference] = answer
        result = mcp.run("run", one.reference, "--", "leave", "3", env={"MCP_REGISTRY_TOKEN": "sesame-5f1e"})
        assert result.status == 3, result.stderr
        assert [entry.authorization for entry in registry.requests("resolve")] == ["Bearer sesame-5f1e"]
        assert [entry.authorization for entry in elsewhere.log] == [None]


def test_a_download_goes_on_where_it_broke(mcp: Mcp, registry: Registry) -> None:
    server = servers.everything_server()
    registry.publish(server.package)
    registry.faults["bundle"] = Fault(cut=1_000_000, times=1)
    result = mcp.run("pull", server.package.reference)
    assert result.status == 0, result.stderr
    ranges = [entry.range for entry in registry.requests("bundle")]
    assert len(ranges) == 2
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 1_000_000


def test_offline_and_cold_says_so(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    refused(mcp.run("run", "--offline", programs.single().reference), "offline-missing")
    assert registry.log == []
