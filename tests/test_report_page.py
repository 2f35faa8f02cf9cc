"""The report page: what is in it, that nothing outside is needed, and that a real browser shows it."""

from __future__ import annotations

import html.parser
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.errors import InputError, OutputError
from quietframe.judge.compare import Look, comparison_png, nice_length_um, structured_block, z_map_png
from quietframe.judge.report import Figure, Section, Table, format_cell, render_report, write_report
from quietframe.metrics.single import Block

SCENE = np.random.default_rng(2).gamma(2.0, 10.0, (48, 64))
LOOK = Look(unit="e-/px", pixel_size_um=0.1)


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def pixels_of(png: bytes, folder: Path) -> NDArray[np.uint8]:
    from quietframe.images import read_image

    path = folder / "picture.png"
    path.write_bytes(png)
    array: NDArray[np.uint8] = np.moveaxis(read_image(path).array, 0, -1)[..., :3]
    return array


@pytest.fixture(scope="module")
def page() -> str:
    figure = Figure(comparison_png(SCENE, SCENE * 0.9, LOOK), "A caption with < and &.", 'Alt with "quotes"')
    sections = [
        Section("First part", "One <script>alert(1)</script> paragraph.", figures=(figure, figure)),
        Section(
            "Second part", ["One.", "Two."], tables=(Table(("name", "value"), (("SNR", 12.3456), ("none", None))),)
        ),
        Section("Third part", notes=("Take care.",)),
    ]
    return render_report(
        "Title & co", "The lead.", sections, key_lines=["SNR: 12.3", "no label"], provenance={"file": "a <b>.tif"}
    )


class Elements(html.parser.HTMLParser):
    """Collect tags with their attributes, and the text of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"h1", "h2"} and data.strip():
            self.headings.append(data.strip())


def test_page_refers_to_nothing_outside_and_has_no_script(page: str) -> None:
    elements = Elements(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in elements.tags}
    addresses = [value or "" for _, attrs in elements.tags for name, value in attrs.items() if name in {"src", "href"}]
    assert addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert any(attrs.get("http-equiv") == "Content-Security-Policy" for _, attrs in elements.tags)


def test_page_has_its_headings_once_and_in_order(page: str) -> None:
    assert Elements(page).headings == [
        "Title & co", "The lines that matter", "First part", "Second part", "Third part", "Where this comes from",
    ]  # fmt: skip


def test_texts_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt;b&gt;.tif" in page


def test_pictures_carry_alternative_text_and_size(page: str) -> None:
    images = [attrs for tag, attrs in Elements(page).tags if tag == "img"]
    width, height = size_of(comparison_png(SCENE, SCENE * 0.9, LOOK))
    assert len(images) == 2
    for attrs in images:
        assert attrs["alt"] == 'Alt with "quotes"'
        assert (attrs["width"], attrs["height"]) == (str(width), str(height))


def test_anchors_of_the_contents_exist(page: str) -> None:
    elements = Elements(page)
    targets = {attrs.get("id") for _, attrs in elements.tags}
    anchors = [str(attrs["href"])[1:] for tag, attrs in elements.tags if tag == "a"]
    assert anchors == ["part-1", "part-2", "part-3"]
    assert set(anchors) <= targets


@pytest.mark.parametrize(
    "value, shown",
    [(12.3456, "12.35"), (1234567, "1 234 567"), (None, "–"), (float("nan"), "–"), ("text", "text"), (True, "True"),
     (0.000123456, "0.0001235"), (7, "7")],
)  # fmt: skip
def test_cells_are_shown_with_four_digits(value: object, shown: str) -> None:
    assert format_cell(value) == shown


def test_page_without_anything_but_title_and_lead() -> None:
    text = render_report("Only a title", "Lead", [])
    assert Elements(text).headings == ["Only a title"]


def test_report_is_written_as_one_file_and_not_over_another(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "T", "L", [Section("S")])
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(OutputError, match="exists"):
        write_report(path, "T", "L", [])
    write_report(path, "Second", "L", [], overwrite=True)
    assert "Second" in path.read_text(encoding="utf-8")


def test_bad_parts_are_named() -> None:
    with pytest.raises(InputError, match="bytes of a PNG"):
        Figure(b"GIF89a", "caption", "alt")
    with pytest.raises(InputError, match="alternative text"):
        Figure(comparison_png(SCENE, SCENE), "caption", " ")
    with pytest.raises(InputError, match="2 columns got a row of 1"):
        Table(("a", "b"), (("only",),))
    with pytest.raises(InputError, match=r"\(48, 64\) and \(4, 4\)"):
        comparison_png(SCENE, SCENE[:4, :4])
    with pytest.raises(InputError, match=r"\(4, 4\) and \(48, 64\)"):
        z_map_png(SCENE[:4, :4], SCENE)


def test_equal_pictures_have_a_difference_without_colour(tmp_path: Path) -> None:
    equal = pixels_of(comparison_png(SCENE, SCENE, Look()), tmp_path)
    other = pixels_of(comparison_png(SCENE, SCENE * 0.8, Look()), tmp_path)

    def coloured(picture: NDArray[np.uint8]) -> int:
        # Red and blue of the difference; the orange frame and the colour bar are in both.
        spread = picture.astype(int).max(axis=-1) - picture.astype(int).min(axis=-1)
        return int(np.count_nonzero(spread > 60))

    assert coloured(other) > 1.5 * coloured(equal)


@pytest.mark.parametrize(
    "noisy",
    [np.zeros((5, 5)), np.full((20, 30), np.nan), np.where(SCENE > 30, np.nan, SCENE), np.zeros((5, 400)),
     SCENE.astype(np.uint16)],
    ids=["constant", "all NaN", "some NaN", "long and thin", "integers"],
)  # fmt: skip
def test_odd_pictures_are_drawn_without_a_warning(noisy: NDArray[np.float64]) -> None:
    assert size_of(comparison_png(noisy, noisy, LOOK))[0] == 1584
    assert size_of(z_map_png(np.zeros(noisy.shape), noisy, LOOK))[0] == 1584


def test_drawing_leaves_no_trace_in_matplotlib() -> None:
    # In a process of its own: other tests may have imported pyplot.
    code = (
        "import sys, numpy as np, matplotlib\n"
        # Looking at the key "backend" would itself import pyplot.
        "state = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = state()\n"
        "from quietframe.judge.compare import comparison_png\n"
        "comparison_png(np.eye(20), np.eye(20))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_scale_bar_is_a_round_length_within_a_quarter() -> None:
    for width, expected in ((66.0, 10.0), (8.0, 2.0), (0.9, 0.2), (4.0, 1.0), (2100.0, 500.0)):
        assert nice_length_um(width) == pytest.approx(expected)


def test_enlarged_part_is_where_the_structure_is_and_not_a_hot_pixel() -> None:
    picture = np.zeros((200, 300))
    picture[140:170, 220:250] = np.random.default_rng(0).random((30, 30)) * 100
    picture[10, 10] = 1e6
    block = structured_block(picture)
    assert (block.width, block.height) == (50, 50)
    assert block.x <= 220 < 250 <= block.x + 50
    assert block.y <= 140 < 170 <= block.y + 50
    assert structured_block(np.ones((5, 7))) == Block(0, 0, 5, 5)


def test_a_browser_shows_headings_and_every_picture(
    page: str, browse: Callable[[str], tuple[dict[str, str], str]]
) -> None:
    body, shown = browse(page)
    assert body["data-loaded"] == "2/2"
    assert body["data-requests"] == "0"
    assert body["data-wide"] == "false"
    assert Elements(shown).headings[:3] == ["Title & co", "The lines that matter", "First part"]
