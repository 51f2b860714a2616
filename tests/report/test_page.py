"""The HTML page, in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from runs import run_of

from conftest import Browse
from mintdb.report.files import write


def page_of(folder: Path, tests: int, **options: int) -> Path:
    assert write(run_of(tests, **options), ["report.html"], root=folder) == []
    return folder / "report.html"


def rows_of(document: str, table: str) -> list[str]:
    [found] = re.findall(rf'<table id="{table}">(.*?)</table>', document, re.DOTALL)
    return re.findall(r"<tr.*?</tr>", found, re.DOTALL)[1:]


def test_a_small_run_is_shown_whole(tmp_path: Path, browse: Browse) -> None:
    document = browse(page_of(tmp_path, 3))
    assert [row.count("<td") for row in rows_of(document, "tests")] == [8, 8, 8]
    assert "test_0[&lt;i&gt;]" in document
    assert "shop/jobs.py:0 in send_receipts" in document
    assert "select '&lt;b&gt;' &amp; 'x'" in document.replace("&#39;", "'")
    assert "1–3 of 3" in document
    assert "postgresql://ann:***@db/shop" in document
    assert document.count("<svg") == 2
    assert "26 pools of one process" in document
    assert [int(number) for number in re.findall(r"(\d+) opened</span>", document)] == [6, 3]
    assert "<b>9</b>" in document
    assert "backend 7 (opened shop/db.py:5 in connect), backend 8" in document
    assert "temporary table basket" in document


def test_a_run_of_3000_tests_stays_light(tmp_path: Path, browse: Browse) -> None:
    page = page_of(tmp_path, 3000, lines=400)
    document = browse(page)
    assert len(rows_of(document, "tests")) == 100
    assert "1–100 of 3000" in document
    assert len(rows_of(document, "slowest")) == 25
    assert document.count("<details") == 152  # 150 lines, the fold around all but 20 of them, and the pools
    assert "130 more lines" in document
    assert "and 250 more lines" in document
    assert document.count("<rect") <= 2 * 480
    assert page.stat().st_size < 1_000_000
    elements = len(re.findall(r"<[a-z]", document))
    assert elements < 6000


def test_the_page_fetches_nothing(tmp_path: Path) -> None:
    text = page_of(tmp_path, 3).read_text()
    assert not re.search(r"(?:src|href)=|@import|url\(", text)


def test_a_run_without_tests_is_a_page_too(tmp_path: Path, browse: Browse) -> None:
    assert write(replace(run_of(0), workers=[], sprawl=[]), ["report.html"], root=tmp_path) == []
    assert "Every connection was closed" in browse(tmp_path / "report.html")


def test_light_and_dark_differ_and_text_can_be_read_in_both(tmp_path: Path, browse: Browse) -> None:
    """The colours that Chromium really computes, asked by a script in a copy of the page."""
    page = page_of(tmp_path, 3)
    ask = "const s = getComputedStyle(document.body); document.title = s.color + ' on ' + s.backgroundColor"
    page.write_text(page.read_text().replace("</body>", f"<script>{ask}</script></body>"))
    titles = [
        re.findall(r"<title>(.*?)</title>", browse(page, *options))[0]
        for options in ([], ["--blink-settings=preferredColorScheme=0"])
    ]
    assert titles[0] != titles[1]
    for title in titles:
        text, back = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in title.split(" on "))
        assert abs(text - back) > 400  # of 765
