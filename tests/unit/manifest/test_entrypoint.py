import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.entrypoint import select_entrypoint
from mcp_client.manifest.model import Entrypoint, Manifest


def manifest(*platforms):
    entrypoints = {platform: Entrypoint(f"bin/{platform}") for platform in platforms}
    return Manifest("org/name", "1.2.3", "", "", "", entrypoints, "stdio")


def test_the_entrypoint_of_the_platform_is_selected():
    assert (
        select_entrypoint(manifest("darwin-arm64", "linux-amd64"), "linux-amd64").command == "bin/linux-amd64"
    )


def test_no_other_platform_stands_in():
    with pytest.raises(MCPError) as caught:
        select_entrypoint(manifest("linux-amd64", "darwin-arm64"), "linux-arm64")
    assert caught.value.code == "platform-unsupported"
    assert "org/name@1.2.3 has no entrypoint for linux-arm64" in caught.value.message
    assert caught.value.hint == "it runs on darwin-arm64, linux-amd64"
