"""The switches of a visitor's policy, which act on what was assessed already."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from ..models.safety_labels import RISK_LEVELS, RISK_TYPES
from ..models.safety_policy import ACTIONS
from ..pages.risk_words import RISK_WORDS
from .demo_chat import DemoChat


_LEAST = 0.001
_MOST_PROBABLE = "-"
_SEVERAL = {"strongest": "the strongest", "all": "all of them"}


class PolicyPanel:
    """
    Shows a policy and changes it.

    Args:
        chat ([`DemoChat`]): whose policy it is.
        on_change (`Callable`): called when it has changed.
    """

    def __init__(self, chat: DemoChat, on_change: Callable[[], None]):
        self.chat, self.on_change = chat, on_change
        self._body()

    def _change(self, changes: dict[str, Any]) -> None:
        self.chat.change_policy(changes)
        self.on_change()

    def _reset(self) -> None:
        self.chat.policy = self.chat.demo.policy
        self._body.refresh()
        self.on_change()

    @ui.refreshable_method
    def _body(self) -> None:
        _heading("Risk types and their thresholds")
        for name in RISK_TYPES:
            self._type(name)
        _heading("From which share of some risk on a level counts")
        self._level_threshold()
        _heading("What to do at each level")
        for level in RISK_LEVELS:
            with ui.element("div").classes("level-row"):
                ui.label(level)
                _toggle(list(ACTIONS), self.chat.policy.actions[level], f"At level {level}", self._set_action(level))
        _heading("Of several risks, act on")
        _toggle(
            _SEVERAL,
            self.chat.policy.several_risks,
            "Of several risks, act on",
            lambda several: self._change({"several_risks": several}),
        )
        ui.button("Back to the model's policy", on_click=self._reset).props("outline no-caps").classes("reset")

    def _level_threshold(self) -> None:
        threshold = self.chat.policy.level_threshold

        def set_enabled(is_enabled: bool) -> None:
            slider.set_enabled(is_enabled)
            set_threshold(slider.value if is_enabled else None)

        def set_threshold(threshold: float | None) -> None:
            shown.set_text(_MOST_PROBABLE if threshold is None else f"{threshold:.1%}")
            self._change({"level_threshold": threshold})

        with ui.element("div").classes("type-row"):
            ui.switch(
                "by a threshold", value=threshold is not None, on_change=lambda event: set_enabled(event.value)
            ).props("dense")
            slider = ui.slider(
                min=_LEAST,
                max=1,
                step=_LEAST,
                value=0.5 if threshold is None else max(threshold, _LEAST),
                on_change=lambda event: set_threshold(event.value),
            ).props('aria-label="Threshold of some risk"')
            slider.set_enabled(threshold is not None)
            shown = ui.label(_MOST_PROBABLE if threshold is None else f"{threshold:.1%}").classes("share")

    def _set_action(self, level: str) -> Callable[[str], None]:
        return lambda action: self._change({"actions": {level: action}})

    def _type(self, name: str) -> None:
        rule = self.chat.policy.types[name]

        def set_enabled(is_enabled: bool) -> None:
            slider.set_enabled(is_enabled)
            self._change({"types": {name: {"enabled": is_enabled}}})

        def set_threshold(threshold: float) -> None:
            shown.set_text(f"{threshold:.1%}")
            self._change({"types": {name: {"threshold": threshold}}})

        with ui.element("div").classes("type-row"):
            ui.switch(RISK_WORDS[name], value=rule["enabled"], on_change=lambda event: set_enabled(event.value)).props(
                "dense"
            )
            slider = ui.slider(
                min=_LEAST,
                max=1,
                step=_LEAST,
                value=max(rule["threshold"], _LEAST),
                on_change=lambda event: set_threshold(event.value),
            ).props(f'aria-label="Threshold of {RISK_WORDS[name]}"')
            slider.set_enabled(rule["enabled"])
            shown = ui.label(f"{rule['threshold']:.1%}").classes("share")


def _heading(text: str) -> None:
    with ui.element("h3"):
        ui.label(text)


def _toggle(options: Any, value: str, label: str, on_choice: Callable[[str], None]) -> None:
    ui.toggle(options, value=value, on_change=lambda event: on_choice(event.value)).props(
        f'unelevated no-caps dense role="group" aria-label="{label}"'
    )
