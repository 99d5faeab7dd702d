"""Fetch a URL with one of Python's clients: client.py LIBRARY URL. What goes wrong is one line."""

import sys


def urllib(url: str) -> str:
    from urllib.request import urlopen

    with urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def httpx(url: str) -> str:
    import httpx

    return httpx.get(url, timeout=20).raise_for_status().text


def requests(url: str) -> str:
    import requests

    answer = requests.get(url, timeout=20)
    answer.raise_for_status()
    return answer.text


def aiohttp(url: str) -> str:
    import asyncio

    import aiohttp

    async def fetch() -> str:
        import ssl

        verified = ssl.create_default_context()
        async with aiohttp.ClientSession() as session, session.get(url, ssl=verified) as answer:
            return await answer.text()

    return asyncio.run(fetch())


def redis(url: str) -> str:
    import redis

    with redis.Redis.from_url(url, socket_timeout=20) as store:
        store.set("greeting", "far greets the store")
        return store.get("greeting").decode()


if __name__ == "__main__":
    try:
        print(globals()[sys.argv[1]](sys.argv[2]), flush=True)
    except Exception as error:  # noqa: BLE001 (each library has its own)
        sys.exit(f"failed: {type(error).__name__}: {error}")
