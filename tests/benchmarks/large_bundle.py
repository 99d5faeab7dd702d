"""A large bundle that is the same bytes every time: what a server with its dependencies is made of."""

import random

from kit.bundle import pack, regular

FILES = 3000
_SEED = 7


def make_bundle(share: float = 1.0) -> bytes:
    """3,000 files of 200 MB, just under 100 MB compressed, or of a share of that."""
    return pack([(regular(path, data, mode), data) for path, data, mode in make_files(share)])


def make_files(share: float = 1.0) -> list[tuple[str, bytes, int]]:
    """Path, content and mode of 3,000 files in 240 folders, of ``share`` of 200 MB.

    Most are sources of a few kilobytes; every sixth is a table or a script that was packed, every twentieth a
    compiled library, which takes most of the room once compressed.
    """
    rng = random.Random(_SEED)
    words = _words(rng)
    text, code = _text(rng, words), _machine_code(rng)
    files = []
    for number in range(FILES):
        if number % 20 == 0:
            name, size, source = "so", rng.randint(200_000, 845_000), code
        elif number % 6 == 0:
            name, size, source = "json", rng.randint(50_000, 330_000), text
        else:
            name, size, source = "py", min(int(rng.lognormvariate(9, 1)), 200_000), text
        path = f"lib/package{number % 40}/part{number % 6}/{words[number]}{number}.{name}"
        data = _cut(rng, source, int(size * share))
        files.append((path, data, 0o755 if name == "so" else 0o644))
    return files


def _words(rng: random.Random) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz_"
    return ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(4000)]


def _text(rng: random.Random, words: list[str]) -> bytes:
    """Words as often as Zipf says: compresses to a third, as sources do."""
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return " ".join(rng.choices(words, weights, k=900_000)).encode()


def _machine_code(rng: random.Random) -> bytes:
    """Much that is new and some that comes again: compresses to three quarters."""
    code = bytearray()
    while len(code) < 8_000_000:
        again = -rng.randint(40, 4000)
        code += rng.randbytes(64) + bytes(rng.choice((0, 4, 16))) + code[again:][: rng.randint(8, 40)]
    return bytes(code)


def _cut(rng: random.Random, source: bytes, size: int) -> bytes:
    at = rng.randrange(len(source) - size)
    return source[at : at + size]
