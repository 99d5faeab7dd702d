import gzip
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile

import pytest
from kit import hostile
from kit.bundle import EPOCH, device, hard_link, link, pack, pack_files, regular

from mcp_client.cache import gunzip as gunzip_module
from mcp_client.cache.gunzip import gunzip
from mcp_client.cache.unpack import most_plain_bytes, unpack_tar
from mcp_client.errors import MCPError

X = b"x"


@pytest.fixture(autouse=True, params=["zlib", "zlib_ng.zlib_ng"])
def inflate(request, monkeypatch):
    """Both that users may have: zlib-ng where there is a wheel of it."""
    monkeypatch.setattr(gunzip_module, "zlib", pytest.importorskip(request.param))


def unpack(archive, target, max_bytes=1_000_000, max_entries=1000):
    chunks = (archive[at : at + 65536] for at in range(0, len(archive), 65536))
    plain = gunzip(chunks, most_plain_bytes(max_bytes, max_entries))
    return unpack_tar(plain, str(target), max_bytes=max_bytes, max_entries=max_entries)


def refused(archive, target, code="bundle-unsafe", **limits):
    """Not a byte may have been written outside of the target."""
    around = target.parent / "around"
    around.mkdir()
    with pytest.raises(MCPError) as caught:
        unpack(archive, around / "target", **limits)
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert os.listdir(around) == ["target"]
    return caught.value.message


def file(name, mode=0o644):
    return regular(name, X, mode), X


def folder(name, mode=0o755):
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def symlink(name, to):
    return link(name, to), b""


def hardlink(name, to):
    return hard_link(name, to), b""


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    return info, b""


def raw(*blocks):
    return gzip.compress(b"".join(blocks) + bytes(1024), 1)


def header(name, kind=tarfile.REGTYPE, size=0, **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def patched(block, at, value):
    """A header with other bytes at ``at``, and its sum made right."""
    block = bytearray(block)
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(*records, kind=tarfile.XHDTYPE):
    data = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        data += str(length).encode() + body
    return header("pax", kind, len(data)) + padded(data)


def chain(count):
    """Links that each go through the one before."""
    return [symlink("l0", ".")] + [symlink(f"l{n}", f"l{n - 1}") for n in range(1, count)]


UNSAFE = {
    "parent": [file("../evil")],
    "parent-inside": [file("a/../../evil")],
    "parent-harmless": [file("a/../b")],
    "absolute": [file("/evil")],
    "absolute-twice": [file("//evil")],
    "drive": [file("C:\\evil")],
    "drive-relative": [file("c:evil")],
    "backslash": [file("..\\evil")],
    "share": [file("\\\\host\\share")],
    "link-parent": [symlink("l", "..")],
    "link-up-and-up": [folder("a"), symlink("a/l", "../../x")],
    "link-absolute": [symlink("l", "/etc/passwd")],
    "link-absolute-inside": [symlink("l", "/")],
    "link-nothing": [symlink("l", "")],
    "link-backslash": [symlink("l", "..\\x")],
    "link-control": [symlink("l", "a\x1b[2J")],
    "link-long": [symlink("l", "a/" * 600)],
    "link-chain": [folder("x/y"), symlink("x/y/l", "../.."), symlink("m", "x/y/l/..")],
    "link-chain-reversed": [symlink("m", "x/y/l/.."), folder("x/y"), symlink("x/y/l", "../..")],
    "link-chain-hidden": [folder("a"), symlink("a/l", "../x"), folder("x"), symlink("a/m", "l/../..")],
    "link-chain-of-three": [
        folder("a/b/c"),
        symlink("a/b/c/up", "../.."),
        symlink("a/b/up", "c/up/.."),
        symlink("out", "a/b/up/../y"),
    ],
    "link-other-case": [folder("a"), symlink("a/l", "../x"), folder("x"), symlink("a/m", "L/../..")],
    "link-to-missing-and-up": [symlink("l", "no/../../x")],
    "link-through-a-file-and-up": [file("f"), symlink("l", "f/../../x")],
    "link-circle": [symlink("a", "b"), symlink("b", "a")],
    "link-itself": [symlink("a", "a/b")],
    "link-long-chain": list(reversed(chain(900))),
    "link-then-file": [symlink("dir", "/tmp"), file("dir/evil")],
    "link-inside-then-file": [folder("real"), symlink("dir", "real"), file("dir/evil")],
    "link-then-file-deep": [folder("real"), symlink("dir", "real"), file("dir/a/b/evil")],
    "link-then-folder": [symlink("dir", "."), folder("dir")],
    "link-then-same-file": [symlink("f", "g"), file("f")],
    "link-over-root": [symlink(".", "x")],
    "file-over-root": [(regular("./.", X), X)],
    "hard-link-absolute": [hardlink("h", "/etc/passwd")],
    "hard-link-out": [hardlink("h", "../x")],
    "hard-link-nothing": [hardlink("h", "later"), file("later")],
    "hard-link-folder": [folder("d"), hardlink("h", "d")],
    "hard-link-root": [hardlink("h", ".")],
    "hard-link-link": [symlink("l", "x"), hardlink("h", "l")],
    "hard-link-through-link": [folder("d"), file("d/f"), symlink("l", "d"), hardlink("h", "l/f")],
    "hard-link-below-file": [file("f"), hardlink("h", "f/g")],
    "hard-link-other-case": [file("f"), hardlink("h", "F")],
    "character-device": [(device("zero"), b"")],
    "block-device": [special("sda", tarfile.BLKTYPE)],
    "fifo": [special("pipe", tarfile.FIFOTYPE)],
    "unknown-kind": [special("what", b"Z")],
    "setuid": [file("f", 0o4755)],
    "setgid": [file("f", 0o2755)],
    "twice": [file("f"), file("f")],
    "twice-spelled-differently": [file("f"), file("./f")],
    "twice-link": [symlink("f", "g"), symlink("f", "h")],
    "twice-hard-link": [file("f"), file("g"), hardlink("f", "g")],
    "folder-over-file": [file("f"), folder("f")],
    "file-over-folder": [file("f/g"), file("f")],
    "file-below-file": [file("f"), file("f/g")],
    "file-far-below-file": [file("f"), file("f/g/h/i")],
    "case": [file("README"), file("readme")],
    "case-folders": [file("Dir/a"), file("dir/b")],
    "case-sharp-s": [file("stra\u00dfe"), file("STRASSE")],
    "composition": [file("caf\u00e9"), file("cafe\u0301")],
    "composition-and-case": [file("CAF\u00c9"), file("cafe\u0301")],
    "newline": [file("a\nb")],
    "escape": [file("\x1b[2Jx")],
    "bidirectional": [file("gpj.\u202eexe")],
    "zero-width": [file("a\u200bb")],
    "long-component": [file("n" * 256)],
    "long-component-in-bytes": [file("\u00e9" * 128)],
    "long-path": [file("d/" * 512 + "f")],
    "deep": [file("d/" * 100 + "f")],
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_archive_is_refused(tmp_path, name):
    refused(pack(UNSAFE[name]), tmp_path / "t")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    assert "\\x" in refused(raw(header("caf\udce9")), tmp_path / "t")


def test_a_surrogate_is_no_text(tmp_path):
    """Encoded as some encoders do it, which UTF-8 forbids."""
    refused(raw(pax((b"path", b"\xed\xa0\x80")), header("f")), tmp_path / "t")


@pytest.mark.parametrize(
    "record",
    [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.map", b"0,1" * 1000), (b"GNU.sparse.name", b"f")],
    ids=["version", "map", "name"],
)
def test_a_sparse_file_is_refused(tmp_path, record):
    refused(raw(pax(record), header("f")), tmp_path / "t")


def test_an_old_sparse_file_is_refused(tmp_path):
    refused(raw(header("f", tarfile.GNUTYPE_SPARSE)), tmp_path / "t")


@pytest.mark.parametrize("size", [b"-512", b"1e3", b"", b"9" * 21, b"\xd9\xa1"], ids=range(5))
def test_a_size_that_is_no_number_is_refused(tmp_path, size):
    refused(raw(pax((b"size", size)), header("f")), tmp_path / "t", "bundle-invalid")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
def test_a_negative_size_is_refused(tmp_path, kind):
    """CVE-2025-8194: with one the standard module reads the same header again for ever."""
    block = patched(header("f", kind), 124, b"\xff" * 10 + b"\xfe\x00")
    refused(raw(block), tmp_path / "t", "bundle-invalid")


def test_a_huge_size_is_refused(tmp_path):
    block = patched(header("f"), 124, b"\x80" + b"\xff" * 11)
    refused(raw(block), tmp_path / "t", "bundle-too-large")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_with_data_is_refused(tmp_path, kind):
    data = raw(header("f"), header("l", kind, 1, linkname="f"), padded(X))
    refused(data, tmp_path / "t", "bundle-invalid")


@pytest.mark.parametrize(
    "records",
    [
        b"1" * 100_000,
        b"12 path=abc",
        b"12 path=abcd\n12 path\xff",
        b"0 path=a\n",
        b"-9 path=a\n",
        b"999999 path=a\n",
        b"9 patha=\x00",
        b"8 patha\n",
        b"path=a\n",
        b" 9 path=a\n",
    ],
    ids=range(10),
)
def test_a_malformed_pax_header_is_refused(tmp_path, records):
    """One of only digits took the standard module forever (CVE-2024-6232)."""
    block = header("pax", tarfile.XHDTYPE, len(records)) + padded(records)
    refused(raw(block, header("f")), tmp_path / "t", "bundle-invalid")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, b"K"])
def test_a_huge_header_is_refused_unread(tmp_path, kind):
    block = header("h", kind, 1 << 40)
    refused(raw(block), tmp_path / "t", "bundle-too-large")


@pytest.mark.parametrize(
    "block", [pax((b"comment", b"x")), pax((b"a", b"b"), kind=tarfile.XGLTYPE)], ids=["own", "global"]
)
def test_headers_of_headers_are_refused(tmp_path, block):
    """The standard module recurses for each."""
    refused(raw(block * 5000, header("f")), tmp_path / "t", "bundle-invalid")


def test_a_global_header_may_not_name_entries(tmp_path):
    block = pax((b"path", b"evil"), kind=tarfile.XGLTYPE)
    refused(raw(block, header("f")), tmp_path / "t", "bundle-invalid")


def test_a_header_for_nothing_is_refused(tmp_path):
    refused(raw(pax((b"path", b"f"))), tmp_path / "t", "bundle-invalid")


def test_names_from_extended_headers_are_checked_too(tmp_path):
    refused(raw(pax((b"path", b"../evil")), header("f")), tmp_path / "t")


def test_targets_from_extended_headers_are_checked_too(tmp_path):
    block = pax((b"linkpath", b"/etc"))
    refused(raw(block, header("l", tarfile.SYMTYPE, linkname="f")), tmp_path / "t")


def test_too_many_entries_are_refused(tmp_path):
    archive = pack([file(f"f{n}") for n in range(11)])
    refused(archive, tmp_path / "t", "bundle-too-large", max_entries=10)


def test_folders_nobody_named_count_as_entries(tmp_path):
    archive = pack([file("/".join([str(n)] * 90)) for n in range(5)])
    refused(archive, tmp_path / "t", "bundle-too-large", max_entries=300)


def test_too_many_bytes_are_refused(tmp_path):
    archive = pack_files({"a": b"x" * 600, "b": b"x" * 600})
    refused(archive, tmp_path / "t", "bundle-too-large", max_bytes=1000)


def test_exactly_as_much_as_allowed_is_taken(tmp_path):
    archive = pack([(regular("a", b"x" * 600), b"x" * 600), (regular("b", b"x" * 400), b"x" * 400)])
    assert unpack(archive, tmp_path / "t", max_bytes=1000, max_entries=2) == 1000


def test_a_bomb_after_the_end_is_refused(tmp_path):
    """What follows the last entry is only read to know that the archive is whole."""
    archive = gzip.compress(bytes(50_000_000), 1)
    refused(archive, tmp_path / "t", "bundle-too-large", max_bytes=1000, max_entries=10)


@pytest.mark.parametrize("kind", ["file", "header"])
def test_a_bomb_is_refused(tmp_path, kind):
    small = 64 << 20
    info = tarfile.TarInfo("zeros")
    info.size = small
    info.type = tarfile.XHDTYPE if kind == "header" else tarfile.REGTYPE
    refused(raw(info.tobuf(), bytes(small)), tmp_path / "t", "bundle-too-large")


def test_empty_parts_without_an_end_are_refused(tmp_path):
    refused(gzip.compress(b"") * 200_001, tmp_path / "t", "bundle-invalid")


def test_a_name_in_the_gzip_header_that_never_ends_costs_nothing(tmp_path):
    refused(b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * 5_000_000, tmp_path / "t", "bundle-invalid")


GOOD = pack([file("main.py"), file("lib/a.py")])


@pytest.mark.parametrize("name", sorted(hostile.not_archives()))
def test_what_is_no_archive_is_refused(tmp_path, name):
    refused(hostile.not_archives()[name], tmp_path / "t", "bundle-invalid")


TAR = gzip.decompress(GOOD)
DAMAGED = {
    "last-byte": GOOD[:-1],
    "no-sum": GOOD[:-8],
    "beginning": GOOD[:20],
    "header-only": GOOD[:5],
    "garbage-after": GOOD + b"garbage",
    "wrong-length": GOOD[:-4] + struct.pack("<I", 1),
    "not-compressed": TAR,
    "compressed-nothing": gzip.compress(b""),
    "header-without-data": gzip.compress(TAR[:512]),
    "half-data": gzip.compress(TAR[:600]),
    "garbage-for-a-header": gzip.compress(TAR[:1024] + b"x" * 512),
    "garbage-at-the-end": gzip.compress(TAR[:1024] + b"x" * 100),
    "size-in-letters": raw(patched(header("f"), 124, b"hello")),
    "wrong-sum": raw(header("f")[:148] + b"0000000\0" + header("f")[156:]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_archive_is_refused(tmp_path, name):
    """A header that is damaged, in particular, is not taken for the end."""
    archive = DAMAGED[name]
    refused(archive, tmp_path / "t", "bundle-invalid")


def test_a_truncation_anywhere_is_noticed(tmp_path):
    for size in range(0, len(GOOD), 7):
        with pytest.raises(MCPError, match="not a whole"):
            unpack(GOOD[:size], tmp_path / str(size))


# -- what publishers really make ---------------------------------------------------------------------------


def tree_of(path):
    found = {}
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            full = os.path.join(parent, name)
            inside = os.path.relpath(full, path)
            if os.path.islink(full):
                found[inside] = os.readlink(full)
            elif os.path.isdir(full):
                found[inside] = None
            else:
                with open(full, "rb") as opened:
                    found[inside] = opened.read()
    return found


LONG = "/".join(["n" * 60] * 5)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_common_format_is_read_as_the_standard_module_reads_it(tmp_path, style):
    buffer = io.BytesIO()
    names = ["f", "d/g", "caf\u00e9/\u65e5\u672c", "e" * 90 + "/" + "f" * 90]
    if style != tarfile.USTAR_FORMAT:
        names += [LONG, LONG + "\u00e9"]
    with tarfile.open(fileobj=buffer, mode="w:gz", format=style) as archive:
        archive.addfile(*[folder("./")[0]])
        archive.addfile(folder("d/")[0])
        archive.addfile(folder("d/")[0])
        for size, name in enumerate(names, start=511):
            info = regular(name, b"")
            info.size, info.mtime = size, 1.5
            archive.addfile(info, io.BytesIO(os.urandom(size)))
        archive.addfile(link("d/link", "../f"))
        archive.addfile(hard_link("hard", "d/g"))
        if style != tarfile.USTAR_FORMAT:
            archive.addfile(link("far", LONG))
            archive.addfile(hard_link("d/far", LONG))
    unpack(buffer.getvalue(), tmp_path / "ours")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        archive.extraction_filter = lambda member, _: member  # unknown to the oldest 3.11
        archive.extractall(tmp_path / "theirs")
    assert tree_of(tmp_path / "ours") == tree_of(tmp_path / "theirs")
    assert os.path.samefile(tmp_path / "ours/hard", tmp_path / "ours/d/g")


@pytest.mark.parametrize(("style", "long"), [("v7", 8), ("ustar", 80), ("pax", 200), ("gnu", 200)])
def test_an_archive_of_the_tar_command_is_read(tmp_path, style, long):
    source, archive = tmp_path / "source", tmp_path / "a.tar.gz"
    deep = source / ("d" * long) / ("e" * long)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(X * 1000)
    (source / "l").symlink_to("d" * long)
    (source / "h").hardlink_to(deep / "f")
    try:
        subprocess.run(["tar", f"--format={style}", "-czf", archive, "-C", source, "."], check=True)
    except FileNotFoundError:
        pytest.skip("there is no tar command")
    unpack(archive.read_bytes(), tmp_path / "t")
    assert tree_of(tmp_path / "t") == tree_of(source)


def test_an_archive_in_several_parts_and_padded_is_read(tmp_path):
    """eStargz compresses each file on its own, and tapes pad with zeros."""
    data = gzip.decompress(GOOD)
    parts = b"".join(gzip.compress(data[at : at + 700]) for at in range(0, len(data), 700))
    unpack(parts + gzip.compress(b"") + bytes(1000), tmp_path / "t")
    assert tree_of(tmp_path / "t") == {"main.py": X, "lib": None, "lib/a.py": X}


def test_an_archive_without_an_end_mark_is_read(tmp_path):
    unpack(gzip.compress(header("f", size=1) + padded(X)), tmp_path / "t")
    assert tree_of(tmp_path / "t") == {"f": X}


def test_an_archive_of_git_is_read(tmp_path):
    """With a global header that holds the commit."""
    comment = pax((b"comment", b"0" * 40), kind=tarfile.XGLTYPE)
    unpack(raw(comment, header("f", size=1), padded(X)), tmp_path / "t")
    assert tree_of(tmp_path / "t") == {"f": X}


def test_an_archive_with_nothing_in_it_is_an_empty_tree(tmp_path):
    assert unpack(pack([]), tmp_path / "t") == 0
    assert os.listdir(tmp_path / "t") == []


INSIDE = {
    "beside": [file("f"), symlink("l", "f")],
    "later": [symlink("l", "d/f"), file("d/f")],
    "up": [file("f"), folder("a/b"), symlink("a/b/l", "../../f")],
    "root": [folder("a"), symlink("a/l", "..")],
    "cyclic-folders": [folder("a"), symlink("a/l", "../a")],
    "through-another": [folder("x/y"), file("f"), symlink("x/y/l", "../.."), symlink("m", "x/y/l/f")],
    "dangling": [symlink("l", "no/such/../file")],
    "dots": [symlink("l", "././/f"), file("f")],
    "short-chain": chain(40),
}


@pytest.mark.parametrize("name", INSIDE)
def test_links_that_stay_inside_are_kept(tmp_path, name):
    unpack(pack(INSIDE[name]), tmp_path / "t")
    links = [info.name for info, _ in INSIDE[name] if info.issym()]
    assert links
    for path in links:
        assert os.path.islink(tmp_path / "t" / path)
        assert os.path.realpath(tmp_path / "t" / path).startswith(str(tmp_path / "t"))


def test_every_link_the_kernel_would_follow_out_is_refused(tmp_path):
    """Small trees of folders and links, tried one after another: the model must never be milder than a file
    system, and no stricter while no link is in a circle or dangling."""
    targets = ["..", "../..", "a", "../a", "a/..", "b/..", "../b/..", "l", "l/..", "../l/..", "a/l/../.."]
    refusals = 0
    for n, (one, two) in enumerate((x, y) for x in targets for y in targets):
        members = [folder("a/b"), folder("b"), symlink("a/l", one), symlink("l", two)]
        arena = tmp_path / str(n)
        (arena / "t/a/b").mkdir(parents=True)
        (arena / "t/b").mkdir()
        (arena / "t/a/l").symlink_to(one)
        (arena / "t/l").symlink_to(two)
        root = os.path.realpath(arena / "t")
        reached = []
        for path in ("a/l", "l"):
            try:
                reached.append(os.path.realpath(arena / "t" / path, strict=True))
            except OSError:
                reached.append(None)
        out = any(path and os.path.commonpath([path, root]) != root for path in reached)
        try:
            unpack(pack(members, level=1), arena / "unpacked")
        except MCPError:
            refusals += 1
            assert out or None in reached, (one, two)
        else:
            assert not out, (one, two)
    assert 10 < refusals < len(targets) ** 2 - 10


# -- modes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_are_ours_whatever_the_archive_and_the_umask_say(tmp_path, mask):
    members = [
        folder("d", 0o2000),
        folder("w", 0o1777),
        file("d/f", 0o000),
        file("d/x", 0o100),
        file("w/w", 0o1666),
        file("implicit/f", 0o777),
        hardlink("h", "d/x"),
    ]
    before = os.umask(mask)
    try:
        unpack(pack(members), tmp_path / "t")
    finally:
        os.umask(before)
    modes = {
        path: oct(stat.S_IMODE(os.lstat(tmp_path / "t" / path).st_mode)) for path in tree_of(tmp_path / "t")
    }
    closed = dict.fromkeys(["d", "w", "implicit", "d/x", "implicit/f", "h"], "0o555")
    assert modes == closed | {"d/f": "0o444", "w/w": "0o444"}


def test_modes_are_ours_where_folders_have_an_acl_for_what_is_made_in_them(tmp_path):
    # A default ACL takes the place of the umask (acl(5)): here it closes files to all but their owner.
    entries = [(0x01, 7), (0x04, 0), (0x20, 0)]
    default = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry, 0xFFFFFFFF) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", default)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")
    with open(tmp_path / "control", "xb") as control:
        assert stat.S_IMODE(os.fstat(control.fileno()).st_mode) == 0o600
    unpack(pack([file("a", 0o644), file("b", 0o644), file("x", 0o755)]), tmp_path / "t")
    modes = [stat.S_IMODE(os.stat(tmp_path / "t" / name).st_mode) for name in ("a", "b", "x")]
    assert modes == [0o444, 0o444, 0o555]


def test_files_keep_their_times(tmp_path):
    """Python uses compiled files in a bundle only if their source has the time it was compiled from."""
    unpack(GOOD, tmp_path / "t")
    assert os.stat(tmp_path / "t/main.py").st_mtime == EPOCH


@pytest.mark.parametrize(
    ("field", "seconds"),
    [(b"\xff" * 12, 0), (b"\x80" + b"\xff" * 11, (1 << 32) - 1), (b"\0" * 12, 0), (b"00000000012\0", 10)],
    ids=["negative", "huge", "none", "ten"],
)
def test_times_nobody_can_mean_are_bent(tmp_path, field, seconds):
    unpack(raw(patched(header("f"), 136, field)), tmp_path / "t")
    # A file system may end in 2038.
    assert os.stat(tmp_path / "t/f").st_mtime in (seconds, min(seconds, (1 << 31) - 1))


def test_a_tree_belongs_to_whoever_unpacks_it(tmp_path):
    info, data = file("f")
    info.uid = info.gid = 4711
    info.uname = info.gname = "daemon"
    unpack(pack([(info, data)]), tmp_path / "t")
    assert os.stat(tmp_path / "t/f").st_uid == os.geteuid()


def test_a_hostile_archive_is_not_held_in_memory(tmp_path):
    """Eight hundred thousand records would be."""
    code = """
import resource, sys
from mcp_client.cache.gunzip import gunzip
from mcp_client.cache.unpack import unpack_tar
resource.setrlimit(resource.RLIMIT_DATA, (80 << 20, 80 << 20))
with open(sys.argv[1], "rb") as file:
    plain = gunzip(iter(lambda: file.read(65536), b""), 1 << 40)
    unpack_tar(plain, sys.argv[2], max_bytes=1 << 30, max_entries=1 << 20)
"""
    archive = tmp_path / "a.tar.gz"
    entry = pax(*[(b"k%d" % n, b"") for n in range(2000)]) + header("d", tarfile.DIRTYPE)
    archive.write_bytes(raw(entry * 400))
    subprocess.run([sys.executable, "-c", code, archive, tmp_path / "t"], check=True)
    assert os.listdir(tmp_path / "t") == ["d"]
