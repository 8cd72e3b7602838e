"""The page: a chat with images, and the policy beside it."""

import contextlib
from pathlib import Path

from nicegui import app, events, ui

from ..pages.hidden_image import hidden_image
from ..pages.local_page import add_style, serve_page
from .demo_chat import DemoChat, Turn
from .demo_model import DemoModel
from .policy_panel import PolicyPanel
from .turn_view import TurnView, to_data_url


_FORGET_SECONDS = 3600.0
"""How long the chat of a tab that was closed, or lost its connection, is kept."""
_ENTER = """(event) => {
    if (event.shiftKey || event.isComposing) return;
    event.preventDefault();
    emit(event.target.value.length);
}"""
_CLICK = "() => emit(document.querySelector('footer textarea').value.length)"
_SECONDS_TO_REPORT = 10.0
_SCROLL = "setTimeout(() => getHtmlElement({id}).scrollIntoView({{behavior: 'smooth'}}), 100)"


def serve_demo(demo: DemoModel, host: str, port: int) -> None:
    """
    Serves the page until the process is stopped.

    Args:
        demo ([`DemoModel`]): the model.
        host (`str`): address to listen on.
        port (`int`): port.
    """
    app.storage.max_tab_storage_age = _FORGET_SECONDS
    app.on_shutdown(demo.worker.close)

    @ui.page("/")
    async def page() -> None:
        add_style(Path(__file__).with_suffix(".css"))
        client = ui.context.client
        await client.connected()
        if client.has_socket_connection:  # Else it has left before, or never runs scripts.
            DemoPage(_find_chat(demo)).build()

    serve_page(f"{demo.name} - safe-llava demo", port, host)


def _find_chat(demo: DemoModel) -> DemoChat:
    """The chat of this tab, which a reload keeps. A tab that is a copy of another begins anew."""
    tab = ui.context.client.tab_id
    owner, chat = app.storage.tab.get("chat", (None, None))
    if chat is None or owner != tab:
        chat = DemoChat(demo)
        app.storage.tab["chat"] = (tab, chat)
    return chat


class DemoPage:
    """
    What one tab shows.

    Args:
        chat ([`DemoChat`]): its chat.
    """

    def __init__(self, chat: DemoChat):
        self.chat, self.demo = chat, chat.demo
        self.views: list[TurnView] = []
        self.shown: list[int] = []
        self.scrolled_to: Turn | None = None

    def build(self) -> None:
        """Puts everything onto the page."""
        self.chat.on_progress = self.update
        ui.context.client.on_delete(self._leave)
        with ui.element("header"), ui.element("div").classes("head-line"):
            ui.label("safe-llava demo").classes("name")
            ui.label(self.demo.name).classes("model")
            ui.button("Policy", on_click=self._open_policy).props("outline no-caps dense").classes("policy-button")
            ui.button("Start over", on_click=self._start_over).props("flat no-caps dense")
        with ui.element("div").classes("columns"):
            self.aside = ui.element("aside").props('aria-label="Policy"')
            with self.aside:
                self.now = ui.label().classes("now").props('aria-live="polite"')
                PolicyPanel(self.chat, self.update)
            with ui.element("main"):
                if (reason := self.demo.model.explain_distrust()) is not None:
                    ui.label(f"No verdict of this model can be trusted, so every image counts as high risk: {reason}.")
                self.welcome = ui.label(
                    "Add an image and ask about it. What the model finds in both, and what the policy makes of that, "
                    "stands below your question; the switches of the policy act at once."
                ).classes("welcome")
                self.thread = ui.element("div").classes("thread")
                self._composer()
        self.update()

    def _composer(self) -> None:
        with ui.element("footer"):
            self.message = ui.label().classes("message").props('role="alert"')
            self.pending = ui.element("div").classes("images pending")
            self.text = (
                ui.textarea(placeholder="Ask about the image")
                .props('outlined autogrow dense aria-label="Question"')
                .on("keydown.enter", self._ask, js_handler=_ENTER)
            )
            upload = ui.upload(
                multiple=True,
                auto_upload=True,
                max_file_size=self.demo.limits.image_bytes,
                on_upload=self._take_image,
                on_rejected=self._refuse_file,
            )
            upload.props('accept="image/*"').classes("hidden-upload")
            with ui.element("div").classes("foot-line"):
                ui.button("Add image").props("outline no-caps").on(
                    "click", js_handler=f"() => getElement({upload.id}).pickFiles()"
                )
                self.send = ui.button("Ask").props("unelevated no-caps").on("click", self._ask, js_handler=_CLICK)
                self.halt = ui.button("Stop", on_click=self._stop).props("unelevated no-caps")
        self.upload = upload

    def _leave(self) -> None:
        if self.chat.on_progress == self.update:  # Else a reload has taken its place.
            self.chat.on_progress = lambda: None

    def update(self) -> None:
        """Shows what has become of the turns, and what the policy makes of them."""
        turns = self.chat.turns
        if [view.turn for view in self.views] != turns:
            self._show_turns(turns)
        for view in self.views:
            view.update()
        self._show_pending()
        self.message.set_text(self.chat.problem)
        if turns and turns[-1].assessed is not None and self.scrolled_to is not turns[-1]:
            self.scrolled_to = turns[-1]
            with self.thread:
                ui.run_javascript(_SCROLL.format(id=self.views[-1].section.id))
        self.welcome.set_visibility(not turns)
        is_running = self.chat.running is not None
        self.send.set_visibility(not is_running)
        self.halt.set_visibility(is_running)
        self.now.set_text(self._describe_last(turns[-1] if turns else None))

    def _describe_last(self, turn: Turn | None) -> str:
        decision = None if turn is None else self.chat.decide(turn)
        if decision is None:
            return "Your policy, in this tab alone."
        verb = {"answer": "is answered", "hint": "is answered after a hint", "refuse": "is refused"}[decision.action]
        return f"The last question {verb}."

    def _show_turns(self, turns: list[Turn]) -> None:
        shown = [view.turn for view in self.views]
        if turns[: len(shown)] != shown:
            self.thread.clear()
            self.views, shown = [], []
        with self.thread:
            self.views += [TurnView(self.chat, turn) for turn in turns[len(shown) :]]

    def _show_pending(self) -> None:
        images = list(map(id, self.chat.images))
        if images == self.shown:
            return
        self.shown = images
        self.pending.clear()
        with self.pending:
            for number, image in enumerate(self.chat.images):
                with ui.element("div").classes("pending-image"):
                    hidden_image(to_data_url(image), f"chosen image {number + 1}")
                    ui.button(icon="close", on_click=lambda _, number=number: self._drop(number)).props(
                        f'round dense size=sm aria-label="Leave out image {number + 1}"'
                    )

    async def _take_image(self, event: events.UploadEventArguments) -> None:
        try:
            self.chat.add_image(await event.file.read())
            self.chat.problem = ""
        except ValueError as error:
            self.chat.problem = f"{event.file.name} was not taken: {error}"
        self.upload.reset()
        self.chat.on_progress()

    def _refuse_file(self) -> None:
        megabytes = self.demo.limits.image_bytes / 2**20
        self.chat.problem = f"A file was not taken: it is no image, or has more than {megabytes:.0f} MB."
        self.update()

    def _drop(self, number: int) -> None:
        del self.chat.images[number]
        self.update()

    async def _ask(self, event: events.GenericEventArguments) -> None:
        question = self.text.value or ""
        if event.args != len(question.encode("utf-16-le", "surrogatepass")) // 2:
            self.chat.problem = f"This was not asked: {event.args} characters are too many to be sent."
            return self.update()
        self.text.value = ""
        await self.chat.ask(question)
        if not self.chat.problem:
            return
        with contextlib.suppress(TimeoutError):
            # The page reports that it was cleared, and that would clear what is put back before it has.
            await ui.run_javascript("return true", timeout=_SECONDS_TO_REPORT)
        if not self.text.value:
            self.text.value = question

    def _open_policy(self) -> None:
        self.aside.classes(toggle="open")

    def _stop(self) -> None:
        self.chat.stop()
        self.update()

    def _start_over(self) -> None:
        self.chat.start_over()
        self.update()
