"""The report in a real browser: headless Chromium draws it at desk and phone width, in light and dark, with sorting."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import report_fixture as fixture
from retcap.report.page import build_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; Debian: apt-get install -y chromium"),
]
DARK, LIGHT = "preferredColorScheme=0", "preferredColorScheme=1"

# The report runs in a frame, so that it can be as narrow as a phone and be looked into: its own policy allows no other
# script than its own. What is found is left in the title of the outer page.
PROBE = """<!doctype html><title></title><body style="margin:0">
<iframe id="frame" style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument;
  const overflow = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  const table = page.querySelector("#caption-scores ~ .scroll table");
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].firstChild.textContent.trim()).join(",");
  const before = names();
  const button = table.tHead.rows[0].cells[4].querySelector("button");
  button.click();
  const down = names();
  button.click();
  const up = names();
  const baselines = table.tBodies[1].rows.length;
  const broken = [...page.images].filter((image) => image.complete && image.naturalWidth === 0).length;
  document.title = JSON.stringify({{ overflow, before, down, up, baselines, broken, images: page.images.length }});
}});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "report.html"
    path.write_text(build_report(fixture.everything(folder, image_count=12)), encoding="utf-8")
    return path


def browse(page: Path, *arguments: str) -> str:
    """Standard output of one headless Chromium; its complaints on the page's policy or scripts fail the test."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run([*command, profile, *arguments, page.as_uri()], capture_output=True, text=True, timeout=120)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints, complaints
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("width_px", [1280, 390])
def test_layout_fits_and_tables_sort(page, width_px):
    probe = page.with_name(f"probe-{width_px}.html")
    inner = html.escape(page.read_text(encoding="utf-8"), quote=True)
    probe.write_text(PROBE.format(width=width_px, page=inner), encoding="utf-8")
    dumped = browse(probe, "--dump-dom", "--window-size=1400,900")
    title = re.search(r"<title>(.+?)</title>", dumped)
    assert title, "the probe did not run"
    found = json.loads(html.unescape(title[1]))
    assert found["overflow"] <= 0, "the page scrolls sideways; only tables may"
    assert found["broken"] == 0
    assert found["images"] >= 9
    assert found["down"] == found["before"]  # the table comes sorted by CIDEr
    assert found["up"].split(",") == found["before"].split(",")[::-1]
    assert found["baselines"] == 1  # baselines keep their own block; the human one has a table of its own


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_both_colour_schemes_are_drawn(page, scheme):
    picture = page.with_name(f"{scheme}.png")
    browse(page, f"--blink-settings={scheme}", "--window-size=1280,2400", f"--screenshot={picture}")
    grey = np.asarray(Image.open(picture).convert("L"), dtype=float)
    paper = np.median(grey)
    assert paper > 240 if scheme == LIGHT else paper < 40
    assert 0.01 < (np.abs(grey - paper) > 90).mean() < 0.5  # text and plots on it, and room around them


def test_prints_on_several_pages(page):
    printed = page.with_name("report.pdf")
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 5
