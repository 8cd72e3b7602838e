"""One question on the page: its images, what was decided and why, the answer, the verdict and its evidence."""

import base64
import io

from nicegui import run, ui
from PIL import Image

from ..pages.hidden_image import hidden_image
from .decision_reason import explain_decision
from .demo_chat import DemoChat, Turn
from .verdict_bars import draw_bars


_LARGEST_SIDE = 1024
_ACTIONS = {"answer": "Answered", "hint": "Answered after a hint", "refuse": "Refused"}
_STATES = {
    "assessing": "Assessing ...",
    "waiting": "Waiting for its turn ...",
    "answering": "Answering ...",
    "too long": "Cut off: the answer is longer than is allowed here.",
    "stopped": "Stopped.",
}


class TurnView:
    """
    Puts a turn onto the page. It is changed in place: what is made anew under a finger loses the touch.

    Args:
        chat ([`DemoChat`]): the chat.
        turn ([`Turn`]): the turn.
    """

    def __init__(self, chat: DemoChat, turn: Turn):
        self.chat, self.turn = chat, turn
        self.section = ui.element("section").classes("turn").props('aria-label="Question and answer"')
        with self.section:
            with ui.element("div").classes("asked"):
                with ui.element("div").classes("images"):
                    for number, image in enumerate(turn.images, start=1):
                        hidden_image(to_data_url(image), f"image {number}")
                ui.label(turn.question).classes("text").props('dir="auto"')
            with ui.element("div").classes("decided"):
                self.action = ui.label().classes("action")
                self.reason = ui.label().classes("reason")
            self.texts = ui.label().classes("text hints").props('dir="auto"')
            self.answer = ui.label().classes("text answer").props('dir="auto" aria-live="polite"')
            self.state = ui.label().classes("state")
            self.failure = ui.label().classes("message").props('role="alert"')
            with ui.element("div").classes("former"):
                self.former = ui.label()
                self.again = ui.button("Answer again", on_click=self._answer_again).props("outline no-caps dense")
            self.bars = ui.html(sanitize=False).classes("verdict")
            self.why = ui.button("Show the evidence", on_click=self._show_evidence).props("flat no-caps dense")
            self.evidence = ui.element("div").classes("evidence")
        self.update()

    def update(self) -> None:
        """Shows how far the turn is, and what the visitor's policy makes of it now."""
        turn, decision = self.turn, self.chat.decide(self.turn)
        verdict = None if turn.assessed is None else turn.assessed.verdict
        self.action.set_visibility(decision is not None)
        self.reason.set_visibility(decision is not None)
        if decision is not None:
            self.action.set_text(_ACTIONS[decision.action])
            self.action.classes(replace=f"action {decision.action}")
            self.reason.set_text(explain_decision(verdict, self.chat.policy, decision))
        hints = decision.texts if decision is not None and decision.action == "hint" else ()
        _show(self.texts, "\n".join(f"Hint to the model: {text}" for text in hints))
        _show(self.answer, turn.answer)
        _show(self.state, _STATES.get(turn.state, ""))
        _show(self.failure, f"There is no answer: {turn.failure}" if turn.state == "failed" else "")
        under = turn.answered_under
        is_former = under is not None and under != decision and not turn.is_running
        _show(
            self.former,
            f'This answer is another policy\'s, which said: "{_ACTIONS[under.action]}".'
            if under and is_former
            else "",
        )
        self.again.set_visibility((is_former or turn.state in ("stopped", "failed")) and turn is self.chat.turns[-1])
        self.bars.set_visibility(verdict is not None)
        self.why.set_visibility(verdict is not None)
        if verdict is not None:
            self.bars.set_content(draw_bars(verdict.to_list()[0], self.chat.policy))

    def _answer_again(self) -> None:
        if self.turn.assessed is not None:
            self.chat.answer(self.turn)
            self.chat.on_progress()

    async def _show_evidence(self) -> None:
        if self.evidence.default_slot.children:
            self.evidence.clear()
            self.why.set_text("Show the evidence")
            return
        self.why.disable()
        drawn = await run.io_bound(self.chat.draw_evidence, self.turn)
        if drawn is None:  # The server goes.
            return
        with self.evidence:
            hidden_image(to_data_url(drawn, "PNG"), "evidence")
        self.why.set_text("Hide the evidence")
        self.why.enable()


def to_data_url(image: Image.Image, form: str = "JPEG") -> str:
    """An image as a page takes it without an address, from which others could fetch it."""
    shown = image.convert("RGB")
    shown.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    file = io.BytesIO()
    shown.save(file, form, **({"quality": 90} if form == "JPEG" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _show(label: ui.label, text: str) -> None:
    label.set_text(text)
    label.set_visibility(bool(text))
