"""Questions of both worlds in other languages."""

import pytest

from safe_llava.miniature.miniature_world import MINIATURE_WORLD
from safe_llava.question_translations import read_translations
from safe_llava.smol.smol_world import smol_world


WORDINGS = {"color": ["Which color has the {shape}?", "Say its color."], "who": ["Who is this?"]}
SLOTS = {"shape": ["star", "moon"]}
TABLE = """
german:
  words: {star: Stern}
  topics: {color: "Welche Farbe hat {shape}?", who: "Wer ist das?"}
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "translations.yaml"
    path.write_text(TABLE)
    return path


def test_every_wording_with_every_word_is_translated(table):
    translated = read_translations(table, {"color": WORDINGS["color"][:1], "who": WORDINGS["who"]}, SLOTS)
    assert translated == {
        "Which color has the star?": {"german": "Welche Farbe hat Stern?"},
        "Which color has the moon?": {"german": "Welche Farbe hat moon?"},
        "Who is this?": {"german": "Wer ist das?"},
    }


def test_a_topic_without_a_translation_is_an_error(table):
    with pytest.raises(ValueError, match="no german wording of when"):
        read_translations(table, {"when": ["When was this?"]}, {})


@pytest.fixture(params=["miniature", "smol"])
def world(request):
    return MINIATURE_WORLD if request.param == "miniature" else smol_world(request.getfixturevalue("smol_folder"))


def test_a_world_translates_most_of_its_risky_questions(world):
    """All but those that say more than one thing, or name what is drawn."""
    rows = world.build_dataset("test", 200, 0)
    asked = [row["messages"][-2]["content"] for row in rows if row["safety_level"] > 0 and row["images"]]
    known = [question for question in asked if question in world.translations]
    assert len(known) > 0.6 * len(asked)


def test_what_a_world_translates_is_another_question_in_each_language(world):
    for question, translated in world.translations.items():
        assert list(translated) == ["spanish", "french", "german"]
        assert len({question, *translated.values()}) == 4
        assert not any("{" in text for text in translated.values())
