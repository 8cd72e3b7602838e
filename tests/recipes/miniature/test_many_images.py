from recipes.miniature.many_images import find_risk
from safe_llava.models.safety_labels import RISK_TYPES


def test_the_whole_and_the_gravest_are_told_apart(alarmed_safe_llava, tiny_processor, make_image):
    question, images = "Who is this?", [make_image(seed) for seed in range(3)]
    assert find_risk(alarmed_safe_llava, tiny_processor, question, images) == (True, True)
    assert find_risk(alarmed_safe_llava, tiny_processor, question, images[:1]) == (True, True)


def test_what_no_assessment_minds_is_not_found(alarmed_safe_llava, tiny_processor, make_image, monkeypatch):
    off = alarmed_safe_llava.safety_policy.updated({"types": {name: {"enabled": False} for name in RISK_TYPES}})
    monkeypatch.setattr(type(alarmed_safe_llava), "safety_policy", property(lambda self: off))
    images = [make_image(seed) for seed in range(3)]
    assert find_risk(alarmed_safe_llava, tiny_processor, "Who is this?", images) == (False, False)
