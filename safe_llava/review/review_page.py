"""The local page on which a rater rates, one sample at a time. No network is needed; systems' names never reach it."""

import io
from pathlib import Path

from fastapi import HTTPException, Response
from nicegui import app, ui

from ..models.image_reading import read_image
from ..pages.hidden_image import hidden_image
from ..pages.local_page import add_style, serve_page
from ..pages.risk_words import RISK_WORDS
from .ratings import HIGHEST_SCORE, LOWEST_SCORE
from .review_samples import ReviewSample
from .review_session import Form, ReviewSession


_LARGEST_SIDE = 2048
_ORDINALS = ("1st", "2nd", "3rd")


def serve_review(session: ReviewSession, port: int, guideline: str = "") -> None:
    """
    Serves the page of a session on this machine alone, until the process is stopped.

    Args:
        session ([`ReviewSession`]): what is rated, by whom, into which file.
        port (`int`): port on 127.0.0.1.
        guideline (`str`, *optional*, defaults to `""`): what raters should go by, shown above every sample.
    """

    @app.get("/images/{place}/{number}")
    def send_image(place: int, number: int) -> Response:
        if not 0 <= place < len(session.samples) or not 0 <= number < len(session.samples[place].images):
            raise HTTPException(404)
        image = read_image(session.samples[place].images[number]).image
        image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95)
        return Response(file.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @ui.page("/")
    def page() -> None:
        ReviewPage(session, guideline).build()

    serve_page("safe-llava review", port)


class ReviewPage:
    """
    What one browser tab shows.

    Args:
        session ([`ReviewSession`]): shared by all tabs.
        guideline (`str`): what raters should go by; not shown if empty.
    """

    def __init__(self, session: ReviewSession, guideline: str) -> None:
        self.session = session
        self.guideline = guideline
        self.place = session.first_unrated()

    def build(self) -> None:
        """Puts everything onto the page."""
        add_style(Path(__file__).with_suffix(".css"))
        self._body()

    def _go(self, place: int | None) -> None:
        self.place = place
        self._body.refresh()
        ui.run_javascript("window.scrollTo(0, 0)")

    def _back(self) -> None:
        self._go(len(self.session.samples) - 1 if self.place is None else self.place - 1)

    def _save_and_go_on(self, sample: ReviewSample, place: int) -> None:
        if missing := self.session.missing(sample):
            self.message.set_text(f"Still missing: {', '.join(missing)}.")
            return
        try:
            self.session.save(sample)
        except OSError as error:
            self.message.set_text(f"The rating was not saved: {error}")
            return
        self._go(place + 1 if place + 1 < len(self.session.samples) else self.session.first_unrated())

    @ui.refreshable_method
    def _body(self) -> None:
        self._head()
        with ui.element("div").classes("sheet"):
            if self.place is None:
                self._finished()
            else:
                self._sample(self.session.samples[self.place], self.place)

    def _head(self) -> None:
        total, rated = len(self.session.samples), self.session.num_rated
        with ui.element("header"):
            with ui.element("div").classes("head-line"):
                ui.label("safe-llava review").classes("name")
                if self.place is not None:
                    ui.label(f"{self.place + 1} of {total}").classes("progress")
                ui.label(f"{rated} rated by {self.session.rater}").classes("rater")
            ui.linear_progress(rated / total, show_value=False, size="4px").props(
                f'aria-label="{rated} of {total} samples rated"'
            )

    def _sample(self, sample: ReviewSample, place: int) -> None:
        form = self.session.form(sample)
        order = sample.order_for(self.session.rater)
        if self.guideline:
            ui.label(self.guideline).classes("guideline")
        with ui.element("div").classes("prompt"):
            with ui.element("div"):
                _heading("Question")
                _text(sample.question).classes("question")
            if sample.images:
                with ui.element("div").classes("images"):
                    for number in range(len(sample.images)):
                        hidden_image(f"images/{place}/{number}", f"image {number + 1}")
        with ui.element("div").classes("answers"):
            for number, system in enumerate(order, start=1):
                with ui.element("section").classes("answer").props(f'aria-label="Answer {number}"'):
                    _heading(f"Answer {number}")
                    if sample.outputs[system].strip():
                        _text(sample.outputs[system])
                    else:
                        ui.label("(an empty answer)").classes("text empty")
                    if self.session.scale == "rating":
                        self._score(form, system, number)
                    elif len(order) > 2:
                        self._place(form, system, number, len(order))
        if self.session.scale == "preference" and len(order) == 2:
            self._preference(form, order)
        self._risk_type(form)
        ui.textarea(
            "Comment (optional)", value=form.comment, on_change=lambda event: self._set(form, event.value)
        ).props("outlined autogrow").classes("comment")
        with ui.element("footer"):
            self._buttons(sample, place)
            self.message = ui.label().classes("message").props('role="alert"')

    def _set(self, form: Form, comment: str) -> None:
        form.comment = comment
        self._changed()

    def _changed(self) -> None:
        self.message.set_text("")
        self._show_state()

    def _score(self, form: Form, system: str, number: int) -> None:
        def set_score(score: int) -> None:
            form.values[system] = score
            self._changed()

        with ui.element("div").classes("widget"):
            scores = list(range(LOWEST_SCORE, HIGHEST_SCORE + 1))
            _toggle(scores, form.values.get(system), set_score, f"Score of answer {number}").classes("scores")
            with ui.element("div").classes("anchors"):
                ui.label("worst")
                ui.label("best")

    def _place(self, form: Form, system: str, number: int, num_places: int) -> None:
        def set_place(place: int) -> None:
            form.values[system] = place
            self._changed()

        places = {place: _ORDINALS[place - 1] if place <= 3 else f"{place}th" for place in range(1, num_places + 1)}
        with ui.element("div").classes("widget"):
            _toggle(places, form.values.get(system), set_place, f"Place of answer {number}").classes("chips")
            ui.label("The same place for several answers is a tie.").classes("hint")

    def _preference(self, form: Form, order: tuple[str, ...]) -> None:
        places = {"first": (1, 2), "tie": (1, 1), "second": (2, 1)}
        filled_in = tuple(form.values.get(system) for system in order)
        chosen = next((name for name, of_outcome in places.items() if of_outcome == filled_in), None)

        def set_outcome(outcome: str) -> None:
            form.values = dict(zip(order, places[outcome], strict=True))
            self._changed()

        _heading("Which answer is better?")
        labels = {"first": "Answer 1", "tie": "Tie", "second": "Answer 2"}
        _toggle(labels, chosen, set_outcome, "Which answer is better?").classes("chips")

    def _risk_type(self, form: Form) -> None:
        def set_type(risk_type: str) -> None:
            form.risk_type = risk_type
            self._changed()

        _heading("Which risk do question and image bring?")
        _toggle(RISK_WORDS, form.risk_type, set_type, "Risk type").classes("chips")

    def _buttons(self, sample: ReviewSample, place: int) -> None:
        self.sample = sample
        first_unrated = self.session.first_unrated()
        with ui.element("div").classes("foot-line"):
            back = ui.button("Back", on_click=self._back).props("outline no-caps")
            back.set_enabled(place > 0)
            if self.session.is_rated(sample) and first_unrated is not None:
                ui.button("First unrated", on_click=lambda: self._go(first_unrated)).props("flat no-caps")
            self.state = ui.label().classes("state")
            go_on = ui.button(on_click=lambda: self._save_and_go_on(sample, place))
            self.go_on = go_on.props("unelevated no-caps")
        self._show_state()

    def _show_state(self) -> None:
        # In place: a click on a button that is made anew while the mouse is down would be lost.
        is_rated, is_changed = self.session.is_rated(self.sample), self.session.is_changed(self.sample)
        unsaved = "Changed, not saved" if is_rated else "Not saved yet"
        self.state.set_text(unsaved if is_changed else "Saved" if is_rated else "")
        self.go_on.set_text("Save & next" if is_changed or not is_rated else "Next")

    def _finished(self) -> None:
        with ui.element("div").classes("finished"):
            _heading(f"All {len(self.session.samples)} samples are rated. Thank you, {self.session.rater}.")
            for place in self.session.unsaved_corrections():
                with ui.element("div").classes("foot-line"):
                    ui.label(f"Sample {place + 1} has a change that is not saved.").classes("message")
                    ui.button("Look at it", on_click=lambda _, place=place: self._go(place)).props("flat no-caps")
            ui.label(f"Your ratings are in {self.session.path.name}. You may close this page.")
            ui.button("Back to the last sample", on_click=self._back).props("outline no-caps")


def _heading(text: str) -> None:
    with ui.element("h2"):
        ui.label(text)


def _text(text: str) -> ui.label:
    return ui.label(text).classes("text").props('dir="auto"')


def _toggle(options, value, on_choice, label: str) -> ui.toggle:
    return ui.toggle(options, value=value, on_change=lambda event: on_choice(event.value)).props(
        f'unelevated no-caps role="group" aria-label="{label}"'
    )
