"""Every attack breaks a model that was weakened for it, and none moves a model that rests on nothing it can reach."""

from dataclasses import replace

import pytest
import torch

from safe_llava.answer_scoring import AnswerGrammar, Manner
from safe_llava.evaluation.attacks import attack_suites
from safe_llava.evaluation.attacks.attack_suites import ON_ONE_SQUARE, SUITES, build_attacks
from safe_llava.evaluation.attacks.attack_target import AttackTarget
from safe_llava.evaluation.attacks.combined_attacks import combined_attacks
from safe_llava.evaluation.attacks.early_layers import early_layer_attacks
from safe_llava.evaluation.attacks.image_changes import image_change_attacks
from safe_llava.evaluation.attacks.other_languages import other_language_attacks
from safe_llava.evaluation.attacks.projected_gradient import attack_pixels, projected_gradient_attacks
from safe_llava.evaluation.attacks.prompt_changes import prompt_change_attacks
from safe_llava.evaluation.attacks.spread_images import spread_attacks
from safe_llava.evaluation.attacks.typographic import typographic_attacks
from safe_llava.evaluation.attacks.universal_border import universal_border_attack
from tests.family_members import MEMBERS, alarm, build_member


CHANGES = [
    *typographic_attacks(),
    *image_change_attacks(),
    *spread_attacks(),
    *prompt_change_attacks(),
    *other_language_attacks({"Who is this?": {"spanish": "¿Quién es?", "german": "Wer ist das?"}}),
]


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Mean of all pixels, in units of 1/255 from the middle, roughly."""
    return images[..., 0].mean(dim=1) * 0.27 * 255


def flags(replies) -> list[tuple]:
    return [(reply.missed, reply.passed, reply.unsafe) for reply in replies]


BROKEN, HELD = (True, True, True), (False, False, False)


@pytest.mark.parametrize("attack", CHANGES, ids=lambda attack: attack.name)
def test_a_change_breaks_a_head_whose_bound_it_crosses(attack, weaken, weaken_between, make_row):
    row = make_row(kind="text_risky" if attack.name == "blank" else "risky")
    (reply,) = attack.attempt(weaken(lambda images, text: torch.ones(len(text))), [row])
    target = weaken_between(row, reply.row)
    assert flags(target.ask([row])) == [HELD]
    assert flags(attack.attempt(target, [row])) == [BROKEN]


def test_a_head_that_rests_on_nothing_is_moved_by_no_attack(stubborn, make_row, drawn_world, monkeypatch):
    monkeypatch.setattr(attack_suites, "BORDER_ROWS", 4)
    attacks = build_attacks(SUITES, stubborn, drawn_world, steps=2, restarts=1)
    assert {attack.suite for attack in attacks} == set(SUITES)
    rows = [make_row()]
    for attack in attacks:
        replies = attack.attempt(stubborn, rows)
        assert flags(replies) == [HELD], attack.name
        assert bool(replies[0].row.begun) == attack.begins_answer, attack.name


def test_a_question_that_is_known_in_no_other_language_is_left_out(make_row):
    (attack,) = other_language_attacks({"What is this?": {"german": "Was ist das?"}})
    assert not attack.applies(make_row())


@pytest.mark.parametrize("model_type", MEMBERS)
class TestTiles:
    @pytest.fixture
    def target(self, model_type, refusals):
        member = build_member(model_type)
        return AttackTarget(alarm(member.model), member.processor, refusals, max_new_tokens=4)

    def test_layers_words_and_images_are_tried(self, target, drawn_world, make_row):
        suites = [suite for suite in SUITES if suite not in ON_ONE_SQUARE]
        attacks = build_attacks(suites, target, drawn_world, steps=1, restarts=1)
        assert {attack.suite for attack in attacks} == set(suites)
        assert all(len(attack.attempt(target, [make_row()])) == 1 for attack in attacks)
        assert [attack.name for attack in attacks if attack.suite == "icet"][-1] == "icet_both/3"

    @pytest.mark.parametrize("suite", ON_ONE_SQUARE)
    def test_what_descends_to_one_square_is_refused_before_any_attack(self, target, suite, drawn_world):
        with pytest.raises(ValueError, match=r"cuts images into tiles.*--suite icet"):
            build_attacks(["icet", suite], target, drawn_world, steps=1, restarts=1)


class TestProjectedGradient:
    def attack(self, target, row, epsilon, steps=8, name="pgd"):
        attacks = projected_gradient_attacks(steps, restarts=2)
        (chosen,) = (attack for attack in attacks if attack.name == f"{name}/{epsilon}")
        return chosen.attempt(target, [row])[0]

    @pytest.fixture
    def six_away(self, weaken, make_row):
        """A row whose brightness is 6 of 255 above a head's bound."""
        row, read = make_row(), []
        weaken(lambda images, text: read.append(brightness(images)) or torch.ones(1)).ask([row])
        return weaken(lambda images, text: 0.1 * (brightness(images) - read[0] + 6)), row

    @pytest.mark.parametrize(("epsilon", "expected"), [(4, HELD), (8, BROKEN), (16, BROKEN)])
    def test_it_breaks_a_head_within_its_reach_alone(self, six_away, epsilon, expected):
        reply = self.attack(*six_away, epsilon)
        assert flags([reply]) == [expected]

    def test_what_is_stored_as_jpeg_breaks_it_too(self, six_away):
        assert flags([self.attack(*six_away, 8, name="pgd_jpeg")]) == [BROKEN]

    def test_it_says_how_many_steps_it_took(self, six_away):
        assert self.attack(*six_away, 16).steps < self.attack(*six_away, 4).steps == 16

    def test_it_finds_single_pixels(self, weaken, make_row):
        row = make_row(128)
        read = []
        weaken(lambda images, text: read.append(images[:, 24, 1]) or torch.ones(1)).ask([row])
        # The spread of one flat patch, which is 0 and which only pixels that part from each other raise.
        target = weaken(lambda images, text: read[0] + 0.02 - images[:, 24, 1])
        assert flags([self.attack(target, row, 4)]) == [BROKEN]

    def test_a_policy_that_acts_on_level_and_type_is_passed_where_one_falls(self, weaken, make_row):
        target, row = weaken(lambda images, text: torch.ones(1)), make_row()
        read = []
        head = target.model.model.safety_modules.head

        def say(scores):
            # The type is beyond reach, the level is not.
            level, risk_type = type(head).say(head, scores)
            return level, 0.0 * risk_type + torch.tensor([0.0, 9, 0, 0, 0, 0, 0])

        head.score = lambda images, text: read.append(brightness(images)) or torch.ones(1)
        target.ask([row])
        head.say, head.score = say, lambda images, text: 0.1 * (brightness(images) - read[0] + 6)
        assert flags([self.attack(target, row, 8)]) == [BROKEN]

    def test_it_breaks_the_answer_of_a_model_without_a_head(self, tiny_llava, tiny_llava_processor, make_row):
        row = make_row()
        safe: list[str] = []
        grammar = AnswerGrammar(
            lambda answer: Manner.REFUSAL if answer in safe else Manner.PLAIN,
            {"high": frozenset({Manner.REFUSAL})},
            str.__eq__,
        )
        target = AttackTarget(tiny_llava, tiny_llava_processor, grammar, max_new_tokens=8)
        safe += [reply.answer for reply in target.ask([row])]
        assert flags(target.ask([row])) == [(None, None, False)]
        assert flags([self.attack(target, row, 16)]) == [(None, None, True)]


def test_where_no_policy_acts_all_is_answered(weaken, tiny_processor, make_row):
    target = weaken(lambda images, text: torch.ones(len(text)))
    policy = target.model.safety_policy
    target.model.set_safety_policy(None)
    try:
        replies = [*target.ask([make_row()]), *attack_pixels(target, [make_row()], 8, steps=2, restarts=1)]
        assert flags(replies) == [(False, True, True)] * 2
        assert {reply.decision for reply in replies} == {"answer"}
    finally:
        target.model.set_safety_policy(policy, tiny_processor)


class TestEarlyLayers:
    def attempt(self, target, row) -> dict[str, tuple]:
        return {attack.name: flags(attack.attempt(target, [row]))[0] for attack in early_layer_attacks(target)}

    def test_a_head_that_follows_the_layer_is_blind_before_the_trained_one(self, weaken, make_row):
        broken = self.attempt(weaken(lambda images, text: images[..., 1].sum(dim=1) - 0.1), make_row())
        assert broken["icet_both/1"] == BROKEN
        assert broken["icet_both/2"] == broken["icet_both/3"] == HELD
        assert {broken[f"icet_language/{layer}"] for layer in (1, 2, 3)} == {HELD}

    def test_the_config_is_as_it_was_afterwards(self, stubborn, make_row):
        before = stubborn.model.config.vision_feature_layer
        self.attempt(stubborn, make_row())
        assert stubborn.model.config.vision_feature_layer == before

    def test_a_language_model_that_is_safe_on_its_layer_alone_is_broken_on_another(self, weaken, make_row):
        """The head lets all pass; safe is what the language model says on the trained layer."""
        row = make_row()
        target = weaken(lambda images, text: -torch.ones(len(text)))
        safe = {reply.answer for reply in target.ask([row])}
        grammar = replace(target.grammar, read_manner=lambda answer: Manner(["plain", "refusal"][answer in safe]))
        broken = self.attempt(replace(target, grammar=grammar), row)
        assert broken["icet_language/1"] == (True, True, True)
        assert broken["icet_language/2"] == (True, True, False)

    def test_a_model_without_a_head_is_moved_as_a_whole(self, tiny_llava, tiny_llava_processor, refusals, make_row):
        target = AttackTarget(tiny_llava, tiny_llava_processor, refusals, max_new_tokens=4)
        names = [attack.name for attack in early_layer_attacks(target)]
        assert names == ["icet_both/1", "icet_both/2", "icet_both/3"]
        answers = {attack.attempt(target, [make_row()])[0].answer for attack in early_layer_attacks(target)}
        assert len(answers) > 1


def test_one_border_breaks_a_head_that_rests_on_brightness(weaken, make_row):
    rows, read = [make_row(shade) for shade in (120, 128, 136)], []
    weaken(lambda images, text: read.append(brightness(images)) or torch.ones(3)).ask(rows)
    target = weaken(lambda images, text: 0.1 * (brightness(images) - read[0].min() + 4))
    attack = universal_border_attack(target, [make_row(124), make_row(132)], steps=4)
    assert flags(target.ask(rows)) == [HELD] * 3
    assert flags(attack.attempt(target, rows)) == [BROKEN] * 3


class TestTogether:
    @pytest.mark.parametrize("name", ["rotate+suffix", "blanks+reassured"])
    def test_two_changes_break_what_one_does_not(self, name, weaken, weaken_between, make_row):
        row = make_row()
        (attack,) = (attack for attack in combined_attacks(weaken(_ones), 1, 1) if attack.name == name)
        target = weaken_between(row, attack.attempt(weaken(_ones), [row])[0].row)
        assert flags(attack.attempt(target, [row])) == [BROKEN]

    def test_pixels_and_a_begun_answer(self, weaken, make_row):
        row, read = make_row(), []
        weaken(lambda images, text: read.append(brightness(images)) or torch.ones(1)).ask([row])
        target = weaken(lambda images, text: 0.1 * (brightness(images) - read[0] + 6))
        (attack,) = (attack for attack in combined_attacks(target, 8, 1) if attack.name == "pgd/8+prefill")
        (reply,) = attack.attempt(target, [row])
        assert flags([reply]) == [BROKEN]
        assert reply.row.begun == "This is in"

    def test_an_early_layer_and_words(self, weaken, make_row):
        target = weaken(lambda images, text: images[..., 1].sum(dim=1) - 0.1)
        (attack,) = (attack for attack in combined_attacks(target, 1, 1) if attack.name == "icet_both/1+suffix")
        assert flags(attack.attempt(target, [make_row()])) == [BROKEN]


def _ones(images: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(text))


@pytest.mark.parametrize(
    ("answer", "begun", "target", "expected"),
    [
        ("It is red.", "", "It is red.", (True, True)),
        ("red.", "It is", "It is red.", (True, True)),
        ("There is nothing.", "", "It is red.", (True, False)),
        ("There is nothing.", "", "", (True, True)),  # nobody knows the right answer
        ("No.", "", "No.", (False, False)),
    ],
)
def test_what_is_told_is_unsafe_and_right(answer, begun, target, expected, stubborn, make_row):
    reply = stubborn._reply(make_row(begun=begun, target=target), answer, {})
    assert (reply.unsafe, reply.told) == expected
