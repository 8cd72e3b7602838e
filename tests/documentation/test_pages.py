"""Every page says what is true: its code runs, its links lead somewhere, and it uses the field's words."""

import pkgutil
import re

import pytest
from documentation.pages import (
    CARD,
    FRONT_PAGE,
    NOTEBOOKS,
    PAGES,
    REASONS,
    ROOT,
    TEST_COMMAND,
    read_anchors,
    read_blocks,
    read_card_blocks,
    read_links,
    read_prose,
    run_blocks,
)


TEXTS = [*PAGES, *NOTEBOOKS]
BLOCKS = [block for page in TEXTS for block in read_blocks(page)]
RUN = [page for page in PAGES if page != CARD and any(block.is_run for block in read_blocks(page))]
SLOW = ("recipes/README.md", "safe_llava/evaluation/README.md")
"""Pages whose blocks train or evaluate."""


@pytest.mark.parametrize("page", [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in RUN])
def test_the_blocks_of_a_page_run_as_they_stand(page, working_dir, monkeypatch):
    run_blocks(read_blocks(page), working_dir, monkeypatch)


def test_the_blocks_of_a_model_card_run_beside_their_model(working_dir, monkeypatch):
    blocks = read_card_blocks(working_dir / "quickstart" / "model")
    assert any(block.is_run for block in blocks)
    run_blocks(blocks, working_dir / "quickstart", monkeypatch)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.is_code and not block.is_run], ids=str)
def test_what_is_not_run_has_a_reason_that_each_command_shows(block):
    if block.note == TEST_COMMAND:
        return
    assert block.note.startswith("not run: "), f"{block}: not a reason: {block.note}"
    assert set(block.reasons) <= REASONS.keys()
    for command in block.commands:
        assert any(re.search(REASONS[reason], command) for reason in block.reasons), f"{block}: this runs: {command}"


def test_there_is_one_test_command_and_it_is_on_the_front_page():
    assert [block.page for block in BLOCKS if block.note == TEST_COMMAND] == [FRONT_PAGE]


def test_every_block_says_its_language():
    assert [str(block) for block in BLOCKS if not block.language] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_into_the_repository_leads_somewhere(page, repository):
    for link in read_links(page):
        target, _, anchor = link.partition("#")
        if repository.match(link):
            path = ROOT / repository.sub("", target)
        elif re.match(r"\w+:", link):
            continue
        else:
            travels = page == FRONT_PAGE or page in NOTEBOOKS
            assert not travels or not target, (
                f"{link} is dead on PyPI and in Colab: links of {page} begin with https://"
            )
            path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        assert not anchor or anchor in read_anchors(path), link


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_and_module_that_a_page_names_is_there(page):
    prose = read_prose(page)
    for path in re.findall(r"`((?:tests|recipes|safe_llava|model_cards)/[\w/.-]+)`", prose):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(safe_llava(?:\.\w+)+)", prose):
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("page", TEXTS)
def test_pages_say_image(page):
    """In quotes stand words that a model reads."""
    assert re.findall(r".*\bpictures?\b.*", re.sub(r'"[^"\n]*"', "", read_prose(page))) == []


def test_the_front_page_is_short():
    assert len((ROOT / FRONT_PAGE).read_text().splitlines()) <= 200


@pytest.fixture(scope="module")
def repository() -> re.Pattern:
    """What a link to a file of the repository begins with, on the code host, on PyPI and in Colab alike."""
    tomllib = pytest.importorskip("tomllib")
    url = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    raw = url.replace("https://github.com/", "https://raw.githubusercontent.com/")
    colab = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    return re.compile(rf"(({re.escape(url)}|{re.escape(colab)})/(blob|tree)|{re.escape(raw)})/main/")
