"""Pixels of awkward files: what is no file, details that repeat, more than 8 bits, and memory that stays bounded."""

import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retcap.pictures import images, pixels
from retcap.pictures.allowance import Allowance
from retcap.pictures.pixels import BadImage, Resize

ROOT = Path(__file__).parents[1]
FIT = Resize("fit", 2048, 1024)


def saved(array: np.ndarray, kind: str, **options) -> bytes:
    """The array as a file of some format."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def rejected(data: bytes) -> BadImage:
    with pytest.raises(BadImage) as caught:
        pixels.decode(data, FIT)
    return caught.value


# --- what is no file ---


@pytest.fixture
def odd_files(tmp_path: Path):
    """A named pipe, a socket, a folder and a device beside a good picture."""
    Image.new("RGB", (4, 2)).save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    before = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        os.chdir(before)
        yield tmp_path


def test_only_regular_files_are_opened_as_pictures(odd_files: Path):
    """A named pipe that nobody writes into held the job for ever, deaf to signals: the work runs in a thread here."""
    names = ["pipe.jpg", "socket.jpg", "folder.jpg", "device.jpg", "good.png"]
    files = [(name, odd_files / name) for name in names]
    job = threading.Thread(target=images.build, args=(odd_files / "pack", files, FIT), daemon=True)
    job.start()
    job.join(timeout=60)
    assert not job.is_alive()
    rows = {row["path"]: row for row in images.read_paths(odd_files / "pack").to_pylist()}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "pipe.jpg": "image_unreadable",
        "socket.jpg": "image_unreadable",
        "folder.jpg": "image_unreadable",
        "device.jpg": "image_unreadable",
        "good.png": None,
    }
    assert rows["pipe.jpg"]["detail"] == f"{odd_files / 'pipe.jpg'} is a named pipe, not a file"
    assert rows["folder.jpg"]["detail"] == f"{odd_files / 'folder.jpg'} is a folder, not a file"
    assert rows["device.jpg"]["detail"] == f"{odd_files / 'device.jpg'} is a device, not a file"


def test_a_file_that_cannot_be_a_picture_is_not_read(tmp_path: Path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(pixels.MAX_FILE_BYTES + 1)  # a hole: takes no space
    with pytest.raises(BadImage, match=r"image_too_large: .*a\.jpg: 1000000001 bytes, more than 1000000000"):
        pixels.file_bytes(tmp_path / "a.jpg")


# --- details ---


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0"])
def test_the_same_bytes_always_get_the_same_detail(data: bytes):
    others = [bytearray(number) for number in range(50)]  # so that objects come to lie elsewhere
    first = rejected(data)
    del others[::2]
    assert (first.reason, first.detail) == (rejected(data).reason, rejected(data).detail)
    assert not re.search(r"0x[0-9a-f]{6}|object", first.detail)


def test_the_detail_of_an_unknown_format_says_how_the_file_begins():
    assert rejected(b"<html>404").detail == (
        "no picture in a format that is known; the file begins with the bytes 3c 68 74 6d 6c 3e 34 30"
    )
    assert rejected(b"").detail == "no picture in a format that is known; the file is empty"


# --- more than 8 bits ---


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_a_dark_16_bit_picture_stays_dark(kind: str):
    """Values up to 255 of 65,535 are nearly black; taken for 8 bits they would be white."""
    dark = np.linspace(0, 255, 64, dtype=np.uint16).reshape(4, 16)
    array, _ = pixels.decode(saved(dark, kind), FIT)
    assert array.max() == 1


def test_16_bits_are_rounded_to_8():
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    array, _ = pixels.decode(saved(grey * 257, "PNG"), FIT)  # 257 = 65535 / 255
    np.testing.assert_array_equal(array, np.repeat(grey[..., None], 3, axis=2))


def test_a_float_picture_from_0_to_1_is_not_black():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    array, _ = pixels.decode(saved(ramp, "TIFF"), FIT)
    np.testing.assert_array_equal(array[..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([[0, 3.5]], np.float32), "pixel values from 0 to 3.5 instead of 0 to 1"),
        (np.array([[-1, 1]], np.float32), "pixel values from -1 to 1 instead of 0 to 1"),
        (np.array([[np.nan, 1]], np.float32), "pixel values from nan to nan instead of 0 to 1"),
        (np.array([[0, 70_000]], np.int32), "integers of 32 bits"),
    ],
)
def test_a_picture_whose_white_is_unknown_is_set_aside(array: np.ndarray, found: str):
    bad = rejected(saved(array, "TIFF"))
    assert bad.reason == "image_unknown_scale"
    assert bad.detail.startswith(found)
    assert bad.detail.endswith("Nothing says which value is white. Save the picture with 8 or 16 bits per channel")


def test_strips_leave_no_seam(monkeypatch):
    from retcap.pictures import depth

    noise = np.random.default_rng(0).integers(0, 65_536, (37, 23), dtype=np.uint16)
    whole, _ = pixels.decode(saved(noise, "PNG"), Resize("cover", 9, 9))
    monkeypatch.setattr(depth, "STRIP_PX", 50)
    strips, _ = pixels.decode(saved(noise, "PNG"), Resize("cover", 9, 9))
    np.testing.assert_array_equal(strips, whole)


# --- memory ---

MEASURE = """
import resource, sys, warnings
from pathlib import Path
from retcap.pictures import pixels
warnings.simplefilter("ignore")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels.decode(Path(sys.argv[1]).read_bytes(), pixels.Resize("fit", 2048, 1024))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit")
@pytest.mark.parametrize(
    ("mode", "options"),
    [("I;16", {}), ("RGB", {}), ("RGBA", {}), ("RGB", {"format": "JPEG", "progressive": True, "subsampling": 0})],
)
def test_decoding_keeps_to_its_bytes_per_pixel(tmp_path: Path, mode: str, options: dict):
    """16-bit grey took 14 bytes per pixel: 4.1 GB for the largest panorama."""
    image = Image.new(mode, (10_000, 5_000))
    image.save(tmp_path / "large", **{"format": "PNG", "compress_level": 1} | options)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "workflow", check=True)
    assert int(done.stdout) <= 1.05 * pixels.BYTES_PER_PX * 50_000_000


def test_threads_share_their_allowance():
    allowance, held, most, lock = Allowance(100), [0], [0], threading.Lock()

    def work(need: int) -> None:
        with allowance.of(need):
            with lock:
                held[0] += need
                most[0] = max(most[0], held[0])
            time.sleep(0.005)
            with lock:
                held[0] -= need

    threads = [threading.Thread(target=work, args=(need,)) for need in [30, 40, 60, 10, 100] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert 60 < most[0] <= 100


def test_a_need_above_the_allowance_is_met_alone():
    allowance, entered = Allowance(100), threading.Event()

    def work() -> None:
        with allowance.of(1):
            entered.set()

    thread = threading.Thread(target=work)
    with allowance.of(250):
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(60)
    thread.join()


def test_an_error_gives_the_allowance_back():
    allowance = Allowance(100)
    with pytest.raises(RuntimeError), allowance.of(100):
        raise RuntimeError
    with allowance.of(100):
        pass
