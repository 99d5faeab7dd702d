"""Beside a running server: a short-lived process (recheck.py) asks the registry how the package stands."""

from mcp_client.app import App
from mcp_client.background import Background, start_background
from mcp_client.resolution import Resolution


def begin(app: App, resolution: Resolution, run_id: str) -> Background | None:
    """Ask how ``resolution`` stands, unless it falls to another process, or none can be started."""
    interval = app.settings.registry.revalidate
    if interval is None or not app.cache.resolutions.claim(resolution, interval):
        return None
    given = {"overrides": app.overrides, "reference": str(resolution.reference), "run_id": run_id}
    return start_background("mcp_client.recheck", given)
