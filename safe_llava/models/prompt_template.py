"""A chat template of transformers, rendered without transformers."""

import json
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _GenerationTag(Extension):
    """`{% generation %}` of transformers' templates marks the answer for training; here its text is enough."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class PromptTemplate:
    """
    Renders chats up to the assistant's turn.

    Args:
        template (`str`): the template, in Jinja.
        variables (`dict[str, str]`): the special tokens that it may write.
    """

    def __init__(self, template: str, variables: dict[str, str]):
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = _raise
        self._template, self._variables = environment.from_string(template), variables

    def render(self, chat: list[dict[str, Any]]) -> str:
        """A chat as a prompt. Raises a [`~jinja2.exceptions.TemplateError`] where the template refuses it."""
        return self._template.render(messages=chat, add_generation_prompt=True, **self._variables)


def _raise(message: str) -> None:
    raise TemplateError(message)
