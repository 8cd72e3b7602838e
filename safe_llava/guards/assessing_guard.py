"""What server, audit and calibration ask of a guard, whatever it runs on."""

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from ..models.array_verdict import ArrayVerdict
from ..models.chat_text import ChatText
from ..models.encoded_prompt import EncodedPrompt
from ..models.safety_policy import SafetyPolicy


class AssessingGuard(Protocol):
    """
    From chats to verdicts, in steps of which the first three may run in several threads: `render` and `encode_images`,
    `encode`, `assess`. What each takes and gives says [`~safe_llava.models.onnx_guard.OnnxGuard`].
    """

    special_texts: ChatText
    """Breaks up special tokens in texts for other programs."""

    @property
    def device(self) -> str:
        """Kind of the device that it computes on, such as "cpu"."""

    @property
    def policy(self) -> SafetyPolicy | None:
        """The policy that is stored with it."""

    @property
    def weights(self) -> str | None:
        """By what a promise and a log know its weights again."""

    @property
    def version(self) -> str:
        """Changes with all that a verdict rests on, in 12 characters."""

    @property
    def cuts_images(self) -> bool:
        """Whether it sees an image as several tiles, and not as one square."""

    @property
    def max_tokens(self) -> int:
        """Tokens that the language model reads."""

    @property
    def longest_token(self) -> int:
        """Characters of the longest token."""

    def explain_distrust(self) -> str | None:
        """Why no verdict of this guard can be trusted, or `None`."""

    def enforce(self, policy: SafetyPolicy) -> None:
        """
        Gets ready for a policy, beside those before. Raises a `ValueError` where it cannot be enforced.
        """

    def count_hint(self, text: str) -> int:
        """Tokens of a hint of a policy that is enforced."""

    def count_tokens(self, text: str) -> int:
        """How many tokens a text becomes."""

    def render(self, chats: Sequence[list[dict[str, Any]]]) -> list[str]:
        """Chats as prompts for the assistant's turn, with a placeholder for each image."""

    def encode_images(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """The RGB images of one prompt as the vision tower takes them."""

    def encode(self, prompts: Sequence[str], images: Sequence[dict[str, Any]]) -> list[EncodedPrompt]:
        """Prompts as tokens, each with its images. Raises a `ValueError` where these do not match."""

    def assess(self, prompts: Sequence[EncodedPrompt]) -> ArrayVerdict:
        """The verdict on each prompt, at temperature 1."""

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether fewer prompts at once may do, by an error of `assess`; frees what can be freed."""
