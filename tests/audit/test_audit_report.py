"""The page holds what the audit found, needs nothing else, and shows foreign text as text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from drawn_audit import (
    HOSTILE_KEY,
    LONG_TEXT,
    draw_audit,
    make_flagged,
    make_summary,
    make_table,
    make_text_only,
    make_unreadable,
)
from markupsafe import escape

from safe_llava.audit import audit_report
from safe_llava.audit.audit_figures import count_types_and_levels, draw_histogram, list_unreadable
from safe_llava.audit.audit_report import write_report
from safe_llava.audit.report_samples import shuffle_keys


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def audit():
    return draw_audit()


@pytest.fixture(scope="module")
def page(audit, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("audit") / "report.html"
    write_report(path, audit.table, audit.summary, audit.read_thumbnails, num_samples=120)
    return path.read_text(encoding="utf-8")


def write(path: Path, *rows: dict, **options) -> str:
    table = make_table(*rows)
    write_report(path, table, make_summary(table), lambda keys: {}, **options)
    return path.read_text(encoding="utf-8")


def test_the_page_is_self_contained(page):
    links = [attrs[name] for _, attrs in Tags(page).found for name in ("src", "href") if name in attrs]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_header_gives_the_summary(page, audit):
    for value in (
        "drawn scenes",
        "org/safe-llava",
        audit.summary["model_version"],
        "1,093 images a second in 2 processes",
    ):
        assert value in page
    for name in ("rows", "assessed", "unreadable", "flagged", "keep", "drop"):
        assert f"<dt>{name}</dt><dd>{audit.summary[name]}" in page


def test_keys_and_questions_are_shown_as_text(page):
    assert str(escape(HOSTILE_KEY)) in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_the_browser_is_told_to_run_the_pages_own_script_only(page):
    policy = next(attrs["content"] for _, attrs in Tags(page).found if "http-equiv" in attrs)
    assert re.search(r"default-src 'none'.*script-src 'sha256-[^']+';", policy)


def test_every_image_starts_blurred(page):
    buttons = [attrs for tag, attrs in Tags(page).found if attrs.get("class") == "image" and tag == "button"]
    assert buttons
    assert {attrs["aria-pressed"] for attrs in buttons} == {"false"}


def test_a_long_question_is_cut_with_the_whole_at_hand(page):
    assert f"{LONG_TEXT[:100]}" in page
    assert f"</summary>{LONG_TEXT}”</details>" in page


def test_thumbnails_are_asked_for_once_and_not_for_rows_without_an_image(tmp_path):
    asked = []
    rows = [make_flagged("a"), {"key": "b"}, make_text_only("c"), make_unreadable("d", "truncated")]
    table = make_table(*rows)
    write_report(tmp_path / "r.html", table, make_summary(table), lambda keys: asked.append(keys) or {})
    assert [sorted(keys) for keys in asked] == [["a", "b"]]


def test_a_sample_without_a_thumbnail_is_shown_without_one(tmp_path):
    assert "image not available" in write(tmp_path / "r.html", {"key": "a"})


def test_unreadable_rows_are_counted_by_reason_with_examples(page):
    row = re.search(r'<th scope="row">decompression bomb</th>.*', page).group()
    assert ">2</td>" in row
    assert "broken/002.jpg" in row


def test_rarer_reasons_are_counted_too():
    rows = [
        make_unreadable(f"{index}-{copy}", f"reason {index}") for index in range(40) for copy in range(1 + index % 2)
    ]
    table = make_table(*rows)
    unreadable = list_unreadable(table, shuffle_keys(table["key"]))
    assert sum(reason["rows"] for reason in unreadable["reasons"]) + unreadable["num_other_rows"] == len(rows)
    assert len(unreadable["reasons"]) + unreadable["num_other_reasons"] == 40


def test_rows_are_counted_by_type_and_level():
    untrusted, text_only = make_flagged("d", trusted=False), make_text_only("e")
    counts = count_types_and_levels(
        make_table(make_flagged("a"), make_flagged("b", level="low"), {"key": "c"}, untrusted, text_only)
    )
    rows = {row["name"]: (row["levels"], row["all"], row["flagged"]) for row in counts["rows"]}
    assert rows["privacy"] == ([0, 1, 0, 1], 2, 2)
    assert rows["safe"] == ([1, 0, 0, 0], 1, 0)
    assert counts["untrusted"] == 1
    assert counts["total"] == {"levels": [1, 1, 0, 1], "all": 4, "flagged": 3}


def test_a_row_counts_for_every_type_that_the_policy_acted_on():
    counts = count_types_and_levels(make_table(make_flagged("a", types=["privacy", "politics"])))
    assert {row["name"]: row["flagged"] for row in counts["rows"] if row["flagged"]} == {"politics": 1, "privacy": 1}


def test_a_histogram_counts_every_score_once():
    scores = np.array([0.0, 0.01, 0.5, 1.0, np.nan])
    bars = draw_histogram(scores, np.array([False, True, False, True, False]))["bars"]
    assert {bar["low"]: (bar["all"], bar["flagged"]) for bar in bars if bar["all"]} == {
        0.0: (2, 1),
        0.5: (1, 0),
        0.95: (1, 1),
    }


def test_a_histogram_has_few_ticks_however_many_rows_there_are():
    drawing = draw_histogram(np.zeros(2_000_000), np.zeros(2_000_000, dtype=bool))
    assert [tick["count"] for tick in drawing["ticks"]] == [1, 100, 10_000, 1_000_000]


def test_near_duplicates_among_the_flagged_are_shown_in_groups(tmp_path):
    rows = [make_flagged("a", image_hash="0" * 16), make_flagged("b", image_hash="0" * 15 + "7")]
    assert "2 flagged rows in 1 group of nearly the same image" in write(tmp_path / "r.html", *rows)


def test_the_page_says_where_similar_images_were_too_many_to_group(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_report, "MAX_DISTINCT", 1)
    rows = [make_flagged(f"{digit}", image_hash=digit * 16) for digit in "0011f"]
    assert "were not grouped here" in write(tmp_path / "r.html", *rows)


def test_equal_images_are_counted_among_all_rows(tmp_path):
    rows = [{"key": "passed", "image_hash": "0" * 16}, make_flagged("flagged", image_hash="0" * 16)]
    assert "2 rows with the same perceptual hash as another row, in 1 group." in write(tmp_path / "r.html", *rows)


@pytest.mark.parametrize("rows", [[], [make_unreadable("a", "truncated")], [make_flagged("a", trusted=False)]])
def test_a_page_is_written_where_little_was_found(tmp_path, rows):
    assert "There are none." in write(tmp_path / "r.html", *rows)


def test_the_same_table_in_another_order_gives_the_same_page(audit, page, tmp_path):
    shuffled = audit.table.take(np.random.default_rng(0).permutation(audit.table.num_rows))
    write_report(tmp_path / "r.html", shuffled, audit.summary, audit.read_thumbnails, num_samples=120)
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page


def test_a_page_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    table = make_table({"key": "a"})
    with pytest.raises(KeyError):
        write_report(path, table, {}, lambda keys: {})
    assert path.read_text() == "old"
