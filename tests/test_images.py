"""Image pack: content, order, resizing, broken files, and that the result never depends on the number of workers."""

import hashlib
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from retcap.jobs import scratch
from retcap.pictures import images, journal, pixels
from retcap.pictures.journal import Journal
from retcap.pictures.pixels import Resize

FIT = Resize("fit", 2048, 1024)


def picture(path, width=7, height=5, seed=0, **options):
    """Write noise as PNG (exact) or whatever the suffix says, and return its pixels."""
    array = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return array


def key_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def png_claiming(width, height):
    """A PNG of a few bytes whose header claims width x height."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_pack_gives_back_each_picture_in_order(tmp_path):
    sizes = [(7, 5), (11, 3), (2, 13)]
    written = [picture(tmp_path / f"{i}.png", *size, seed=i) for i, size in enumerate(sizes)]
    files = [(f"{i}.png", tmp_path / f"{i}.png") for i in range(3)]
    counts = images.build(tmp_path / "pack", files, FIT)
    pack = images.ImagePack(tmp_path / "pack")
    assert counts == {"images": 3, "stored": 3, "duplicates": 0, "bytes": sum(3 * w * h for w, h in sizes)}
    assert pack.keys() == [key_of(file) for _, file in files]
    assert len(pack) == 3
    for (_, file), array in zip(files, written, strict=True):
        np.testing.assert_array_equal(pack[key_of(file)], array)
    assert key_of(files[0][1]) in pack
    assert "no such key" not in pack
    assert "é" not in pack
    assert 3 not in pack
    with pytest.raises(KeyError, match="not in the image pack"):
        pack["0" * 64]


def test_equal_bytes_are_stored_once_and_all_paths_are_mapped(tmp_path):
    picture(tmp_path / "a.png", seed=1)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    picture(tmp_path / "c.png", seed=2)
    counts = images.build(tmp_path / "pack", [(n, tmp_path / n) for n in ("a.png", "b.png", "c.png", "x.png")], FIT)
    assert (counts["stored"], counts["duplicates"], counts["image_missing"]) == (2, 1, 1)
    table = images.read_paths(tmp_path / "pack").to_pydict()
    a, c = key_of(tmp_path / "a.png"), key_of(tmp_path / "c.png")
    assert table["path"] == ["a.png", "b.png", "c.png", "x.png"]
    assert table["key"] == [a, a, c, None]
    assert table["reason"] == [None, None, None, "image_missing"]
    assert "x.png" in table["detail"][3]


def test_broken_files_get_a_reason_and_no_crash(tmp_path):
    picture(tmp_path / "whole.jpg", 64, 32, quality=90)
    whole = (tmp_path / "whole.jpg").read_bytes()
    contents = {
        "cut.jpg": whole[: len(whole) // 2],
        "empty.jpg": b"",
        "page.jpg": b"<html>404 not found</html>",
        "bomb.png": png_claiming(30_000, 20_000),
        "huge.png": png_claiming(65_535, 65_535),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    names = [*contents, "folder.jpg", "nul\0.jpg", "x" * 300 + ".jpg", "whole.jpg/inside.jpg"]
    with pytest.warns(Image.DecompressionBombWarning):
        counts = images.build(tmp_path / "pack", [(name, tmp_path / name) for name in names], FIT)
    reasons = dict(zip(names, images.read_paths(tmp_path / "pack")["reason"].to_pylist(), strict=True))
    assert reasons == {
        "cut.jpg": "image_broken",
        "empty.jpg": "image_broken",
        "page.jpg": "image_broken",
        "bomb.png": "image_too_large",
        "huge.png": "image_too_large",
        "folder.jpg": "image_unreadable",
        "nul\0.jpg": "image_unreadable",
        "x" * 300 + ".jpg": "image_unreadable",
        "whole.jpg/inside.jpg": "image_missing",
    }
    assert counts["images"] == 9
    assert counts["stored"] == len(images.ImagePack(tmp_path / "pack")) == 0


def test_panoramas_above_pillows_own_limit_are_accepted():
    buffer = io.BytesIO()
    Image.new("L", (13_600, 6_800)).save(buffer, "PNG", compress_level=1)  # 92 Mpx; Pillow warns from 89 Mpx on
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array, source = pixels.decode(buffer.getvalue(), Resize("squash", 4, 2))
    assert (array.shape, source) == ((2, 4, 3), (6_800, 13_600))


@pytest.mark.parametrize(
    ("resize", "source", "stored"),
    [
        (Resize("fit", 204, 102), (400, 200), (204, 102)),
        (Resize("fit", 204, 102), (30, 300), (10, 102)),
        (Resize("fit", 2048, 1024), (5, 3), (5, 3)),  # never enlarged
        (Resize("fit", 8, 8), (4000, 1), (8, 1)),  # never to nothing
        (Resize("cover", 24, 24), (64, 48), (24, 24)),
        (Resize("cover", 24, 24), (7, 100), (24, 24)),
        (Resize("cover", 31, 17), (64, 48), (31, 17)),
        (Resize("squash", 31, 17), (64, 48), (31, 17)),
    ],
)
def test_stored_size_per_policy(tmp_path, resize, source, stored):
    picture(tmp_path / "a.png", *source)
    images.build(tmp_path / "pack", [("a.png", tmp_path / "a.png")], resize)
    pack = images.ImagePack(tmp_path / "pack")
    key = key_of(tmp_path / "a.png")
    assert pack[key].shape == (stored[1], stored[0], 3)
    [kept] = pq.read_table(tmp_path / "pack/index.parquet").to_pylist()
    assert (kept["source_width"], kept["source_height"]) == source


@pytest.mark.slow  # the import of torchvision
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (50, 50), (333, 100), (101, 100)])
def test_square_cover_is_torchvisions_resize_and_centre_crop(tmp_path, size):
    """CLIP's preprocessing: the pack must not change what a CLIP tower sees."""
    transforms = pytest.importorskip("torchvision.transforms.v2")
    picture(tmp_path / "a.png", *size)
    image = Image.open(tmp_path / "a.png")
    bicubic = transforms.InterpolationMode.BICUBIC
    expected = np.asarray(transforms.CenterCrop(24)(transforms.Resize(24, interpolation=bicubic)(image)))
    array, _ = pixels.decode((tmp_path / "a.png").read_bytes(), Resize("cover", 24, 24))
    np.testing.assert_array_equal(array, expected)


def test_cover_cuts_the_centre():
    stripes = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)  # 8 x 24
    buffer = io.BytesIO()
    Image.fromarray(stripes).save(buffer, "PNG")
    wide, _ = pixels.decode(buffer.getvalue(), Resize("cover", 8, 8))
    np.testing.assert_array_equal(wide, stripes[:, 8:16])  # 24 = 8 + 8 + 8, no scaling


def test_shrink_on_load_stays_near_the_exact_result(tmp_path):
    smooth = np.linspace(0, 255, 1024)[None, :, None] * np.ones((768, 1, 3))
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    assert Image.open(tmp_path / "a.jpg").draft("RGB", (112, 112)) is not None  # 768 / 112: the shortcut is taken
    exact, source = pixels.decode(data, Resize("cover", 56, 56))
    quick, source_quick = pixels.decode(data, Resize("cover", 56, 56, shrink_on_load=True))
    assert source == source_quick == (768, 1024)
    assert np.abs(exact.astype(int) - quick).max() <= 4  # levels of 255: two roundings of the JPEG's own blocks


def test_a_pack_says_whether_large_jpegs_were_shrunk(tmp_path):
    """It changes pixels, so it belongs to what a pack is, and a pack made otherwise is not gone on with."""
    picture(tmp_path / "a.jpg", 900, 800, quality=95)
    packs = []
    for shrink in (False, True):
        resize = Resize("cover", 64, 64, shrink)
        images.build(tmp_path / "pack", [("a.jpg", tmp_path / "a.jpg")], resize)
        assert images.settings_of(tmp_path / "pack")["resize"]["shrink_on_load"] is shrink
        packs.append(content(tmp_path / "pack"))
    assert packs[0][0] != packs[1][0]


@pytest.mark.parametrize("shrink_on_load", [False, True])
@pytest.mark.parametrize("orientation", [6, 8])
def test_a_turned_jpeg_is_cut_and_measured_upright(tmp_path, orientation, shrink_on_load):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (1000, 400)).save(tmp_path / "a.jpg", exif=exif)
    resize = Resize("cover", 20, 30, shrink_on_load)
    array, source = pixels.decode((tmp_path / "a.jpg").read_bytes(), resize)
    assert (array.shape, source) == ((30, 20, 3), (1000, 400))


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken")
    array, _ = pixels.decode((tmp_path / "a.jpg").read_bytes(), FIT)
    assert array.shape == (4, 6, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    array = np.zeros((32, 64, 3), np.uint8)
    array[:16, :32] = 255  # top left corner is white
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    upright, source = pixels.decode((tmp_path / "a.png").read_bytes(), FIT)
    white = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    height, width = upright.shape[:2]
    assert source == (height, width) == ((32, 64) if orientation <= 4 else (64, 32))
    corners = upright[1 :: height - 3, 1 :: width - 3, 0][:2, :2]
    assert np.argwhere(corners == 255).tolist() == [list(white)]


def test_grey_palette_alpha_and_16_bit_become_rgb():
    def decoded(image, kind="PNG"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        return pixels.decode(buffer.getvalue(), FIT)[0]

    grey = np.array([[0, 100, 255]], np.uint8)
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey)), expected)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey).convert("RGBA")), expected)
    np.testing.assert_array_equal(decoded(Image.fromarray(grey).convert("P")), expected)
    deep = decoded(Image.fromarray(grey.astype(np.uint16) * 257))  # 257 = 65535 / 255
    np.testing.assert_allclose(deep, expected, atol=1)  # rounding down


def test_same_bytes_for_any_number_of_workers(tmp_path):
    for number in range(23):
        twin = number % 19  # four of the 23 files repeat an earlier one
        picture(tmp_path / f"{number}.jpg", 20 + twin % 7, 10 + twin % 5, seed=twin)
    files = [(f"{n}.jpg", tmp_path / f"{n}.jpg") for n in range(23)] + [("gone.jpg", tmp_path / "gone.jpg")]
    written = set()
    for workers in (1, 2, 5):
        images.build(tmp_path / "pack", files, Resize("squash", 8, 4), workers=workers)
        names = ("pixels.bin", "index.parquet", "paths.parquet")
        written.add(tuple((tmp_path / "pack" / name).read_bytes() for name in names))
    assert len(written) == 1
    assert len(images.ImagePack(tmp_path / "pack")) == 19


def test_input_is_read_lazily_so_that_memory_stays_bounded(tmp_path, monkeypatch):
    """The source must never run more than 4 x workers images ahead of what was written."""
    picture(tmp_path / "a.png")
    written, ahead, add = 0, [], Journal.add

    def counted(writer, read):
        nonlocal written
        written += 1
        add(writer, read)

    def source():
        for asked in range(100):
            ahead.append(asked - written)
            yield f"{asked}", tmp_path / "a.png"

    monkeypatch.setattr(Journal, "add", counted)
    images.build(tmp_path / "pack", source(), FIT, workers=2)
    assert written == 100
    assert 2 <= max(ahead) <= 8


@pytest.mark.parametrize(("encoding", "largest_difference"), [("png", 0), ("jpeg", 40)])
def test_encoded_packs(tmp_path, encoding, largest_difference):
    smooth = np.linspace(0, 255, 64)[None, :, None] * np.ones((32, 1, 3))
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "a.png")
    counts = images.build(tmp_path / "pack", [("a", tmp_path / "a.png")], FIT, encoding=encoding)
    stored = images.ImagePack(tmp_path / "pack")[key_of(tmp_path / "a.png")]
    assert np.abs(stored.astype(int) - smooth.astype(np.uint8)).max() <= largest_difference
    assert counts["bytes"] < 64 * 32 * 3


def test_row_groups_are_flushed(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "ROW_GROUP", 2)
    for number in range(5):
        picture(tmp_path / f"{number}.png", seed=number)
    images.build(tmp_path / "pack", [(str(n), tmp_path / f"{n}.png") for n in range(5)], FIT)
    assert images.pq.read_metadata(tmp_path / "pack" / "index.parquet").num_row_groups == 3
    assert len(images.ImagePack(tmp_path / "pack").keys()) == 5


def test_failed_build_leaves_the_old_pack_and_no_litter(tmp_path):
    picture(tmp_path / "a.png")
    images.build(tmp_path / "pack", [("a", tmp_path / "a.png")], FIT)

    def breaks():
        yield "a", tmp_path / "a.png"
        raise RuntimeError("source failed")

    with pytest.raises(RuntimeError, match="source failed"):
        images.build(tmp_path / "pack", breaks(), FIT)
    assert len(images.ImagePack(tmp_path / "pack")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "pack"]
    assert threading.active_count() < 10


def test_pack_pickles_small_and_is_read_only(tmp_path):
    array = picture(tmp_path / "a.png", 64, 64)
    images.build(tmp_path / "pack", [("a", tmp_path / "a.png")], FIT)
    pack = images.ImagePack(tmp_path / "pack")
    data = pickle.dumps(pack)
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data)[key_of(tmp_path / "a.png")], array)
    with pytest.raises(ValueError, match="read-only"):
        pack[key_of(tmp_path / "a.png")][0, 0, 0] = 1


def test_errors_name_the_place_and_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="No image pack at"):
        images.ImagePack(tmp_path / "nowhere")
    picture(tmp_path / "a.png")
    images.build(tmp_path / "pack", [("a", tmp_path / "a.png")], FIT)
    with open(tmp_path / "pack" / "pixels.bin", "ab") as file:
        file.write(b"!")
    with pytest.raises(ValueError, match=r"has 106 bytes, its index says 105\. Delete .* and build it again"):
        images.ImagePack(tmp_path / "pack")
    with pytest.raises(ValueError, match="mode must be fit, cover or squash"):
        Resize("stretch", 3, 3)
    with pytest.raises(ValueError, match="image encoding `bmp` is unknown"):
        images.build(tmp_path / "other", [("a", tmp_path / "a.png")], FIT, encoding="bmp")
    assert not (tmp_path / "other").exists()


NAMES = ("pixels.bin", "index.parquet", "paths.parquet")
SLOW = """
import sys, time
from pathlib import Path
from retcap.pictures import images, journal, pixels
folder = Path(sys.argv[1])
journal.PART = 4
decode = pixels.decode
pixels.decode = lambda *arguments: time.sleep(0.02) or decode(*arguments)
files = [(f"{n}.png", folder / f"{n}.png") for n in range(60)]
images.build(folder / "pack", files, pixels.Resize("squash", 8, 4), workers=2, scratch=folder / "scratch")
"""


def content(pack):
    return [(pack / name).read_bytes() for name in NAMES]


def sixty(folder):
    """Sixty paths: every seventh repeats a picture, every eleventh is missing, every thirteenth broken."""
    for number in range(60):
        if number % 13 == 12:
            (folder / f"{number}.png").write_bytes(png_claiming(30, 20))
        elif number % 11 != 10:
            picture(folder / f"{number}.png", 20, 10, seed=0 if number % 7 == 6 else number)
    return [(f"{number}.png", folder / f"{number}.png") for number in range(60)]


def build(folder, files, **options):
    images.build(folder / "pack", files, Resize("squash", 8, 4), **options)
    return content(folder / "pack")


@pytest.fixture
def killed(tmp_path):
    """The files, and what a build left that was killed by SIGKILL when it had packed some of them."""
    files = sixty(tmp_path)
    whole = build(tmp_path, files)
    os.rename(tmp_path / "pack", tmp_path / "before")
    child = subprocess.Popen([sys.executable, "-c", SLOW, tmp_path])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "scratch").glob("part-*.parquet"))) < 5:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "pack").exists()
    return files, whole


def reads(monkeypatch):
    """Names of the files that are decoded from here on."""
    found, read = [], pixels.file_bytes
    monkeypatch.setattr(pixels, "file_bytes", lambda file: found.append(file.name) or read(file))
    return found


def test_a_killed_build_goes_on_where_it_stopped_to_the_same_bytes(tmp_path, killed, monkeypatch):
    files, whole = killed
    decoded = reads(monkeypatch)
    assert build(tmp_path, files, scratch=tmp_path / "scratch") == whole
    packed = [name for name, _ in files[:20]]  # in five parts of four
    assert set(packed) & set(decoded) == {"10.png", "12.png"}  # missing and broken ones are looked at again
    assert "59.png" in decoded
    assert not (tmp_path / "scratch").exists()
    assert build(tmp_path, files) == whole


def test_pixels_behind_the_last_part_are_cut_off(tmp_path, killed):
    files, whole = killed
    with open(tmp_path / "scratch/pixels.bin", "ab") as file:
        file.write(b"half a picture")
    (tmp_path / "scratch/part-000099.partial").write_bytes(b"half a part")
    assert build(tmp_path, files, scratch=tmp_path / "scratch") == whole


def test_pixels_that_never_reached_the_disk_are_made_again(tmp_path, killed):
    files, whole = killed
    os.truncate(tmp_path / "scratch/pixels.bin", 1000)
    assert build(tmp_path, files, scratch=tmp_path / "scratch") == whole


@pytest.mark.parametrize("change", ["came", "changed", "gone", "mended", "fewer", "order", "settings"])
def test_a_resumed_pack_is_that_of_the_files_as_they_are_now(tmp_path, killed, change):
    files, whole = killed
    if change == "came":
        picture(tmp_path / "10.png", seed=100)
    elif change == "changed":
        picture(tmp_path / "5.png", seed=101)
    elif change == "gone":
        (tmp_path / "5.png").unlink()
    elif change == "mended":
        picture(tmp_path / "12.png", seed=102)
    elif change == "fewer":
        files = files[:9]
    elif change == "order":
        files = files[:6] + files[6:][::-1]
    options = {"encoding": "png"} if change == "settings" else {}
    resumed = build(tmp_path, files, scratch=tmp_path / "scratch", **options)
    assert resumed == build(tmp_path, files, **options) != whole


def test_two_builds_never_share_a_scratch_folder(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom retcap.jobs import scratch\n"
        "with scratch.locked(Path(sys.argv[1]), 'packs'):\n  print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "scratch"], **pipes)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(RuntimeError, match=r"scratch: another process packs pictures here. Wait for it, or end it"):
        build(tmp_path, [], scratch=tmp_path / "scratch")
    other.kill()
    other.wait()
    with scratch.locked(tmp_path / "scratch", "packs pictures"):
        pass


def test_a_file_that_must_not_be_read_is_not(tmp_path, monkeypatch):
    files, decoded = sixty(tmp_path), reads(monkeypatch)

    def check(file):
        if file.name == "3.png":
            raise pixels.BadImage("path_leaves_root", "over a link")

    build(tmp_path, files, check=check)
    assert "3.png" not in decoded
    row = images.read_paths(tmp_path / "pack").to_pylist()[3]
    assert (row["key"], row["reason"], row["detail"]) == (None, "path_leaves_root", "over a link")
