"""The model provider `safe-llava/`: batches of chats with images, and the verdict beside every answer."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import anyio
import anyio.to_thread
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from ...batching import Batcher
from .chat import to_conversation
from .local_model import LocalModel, Prompt, Reply, Settings


DEFAULT_MAX_TOKENS = 512
UNSUPPORTED = (
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "num_choices",
    "presence_penalty",
    "response_schema",
)
"""Generation options of inspect that would otherwise be ignored in silence."""


class SafeLlavaAPI(ModelAPI):
    """
    A SafeLLaVA, or the base that it was made of, as `safe-llava/<folder or Hub id>`. Decoding is greedy unless a
    temperature above 0 is asked for; then batches are seeded alike, so a row's answer depends on its batch unless
    `batch_size` is 1.

    The metadata of each output is that of [`~safe_llava.evaluation.inspect.local_model.Reply`].

    Args:
        model_name (`str`): a folder or a Hub id.
        base_url (`str`, *optional*), api_key (`str`, *optional*), config (`GenerateConfig`, *optional*):
            Given by inspect.
        device, dtype, safety_policy (*optional*):
            See [`~safe_llava.evaluation.inspect.local_model.LocalModel`]. On the command line
            `-M safety_policy=off` turns the policy off.
        batch_size (`int`, *optional*, defaults to 8): the most chats in one batch.

    Raises:
        ValueError: if an option is out of range. The model is loaded, and may prove unfit, at the first chat.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008
        device: str | None = None,
        dtype: str = "auto",
        safety_policy: str | dict[str, Any] | Literal[False] | None = None,
        batch_size: int = 8,
    ):
        super().__init__(model_name, base_url, api_key, [], config)
        # YAML, in which inspect reads -M, takes a bare `off` for false; in quotes it is a text.
        policy = False if safety_policy == "off" else safety_policy
        self._load = partial(LocalModel, model_name, dtype=dtype, safety_policy=policy)
        self._loading = anyio.Lock()
        self._local: LocalModel | None = None
        self.run_on(device, batch_size)

    def run_on(self, device: str | None, batch_size: int) -> None:
        """
        Says where the model runs, before its first chat. inspect tells evaluations apart by the arguments of their
        model, so what is said here may change when one goes on.

        Args:
            device (`str`, *optional*): such as `"cuda:0"`. Defaults to the first accelerator, else the CPU.
            batch_size (`int`): the most chats in one batch.

        Raises:
            ValueError: if the batch size is no whole number above 0.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a whole number above 0, got {batch_size!r}.")
        self.device = device
        self.batch_size = batch_size
        self._batcher: Batcher[Prompt, Reply] = Batcher(self._answer, batch_size)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> tuple[ModelOutput, ModelCall]:
        """
        Answers one chat, in a batch with others that wait.

        Args:
            input (`list[ChatMessage]`): the chat.
            tools (`list[ToolInfo]`), tool_choice (`ToolChoice`): must name no tools.
            config (`GenerateConfig`): inspect's generation options.

        Returns:
            `tuple[ModelOutput, ModelCall]`: the answer, and what `generate` was told.

        Raises:
            ValueError: if there are tools, or options that a LLaVA does not know.
        """
        if tools:
            raise ValueError("A LLaVA calls no tools. Evaluate it with tasks that have none.")
        if unknown := [name for name in UNSUPPORTED if getattr(config, name) is not None]:
            raise ValueError(f"The provider safe-llava knows no {', '.join(unknown)}. Leave it out.")
        settings = Settings(
            max_new_tokens=config.max_tokens or DEFAULT_MAX_TOKENS,
            temperature=config.temperature or 0.0,
            top_p=config.top_p,
            top_k=config.top_k,
            stop=tuple(config.stop_seqs or ()),
            seed=config.seed,
        )
        prompt = await anyio.to_thread.run_sync((await self._get_local()).read, to_conversation(input))
        reply = await self._batcher(prompt, settings)
        message = ChatMessageAssistant(content=reply.text, model=self.model_name, source="generate")
        output = ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=reply.stop_reason)],
            usage=ModelUsage(
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
                total_tokens=reply.input_tokens + reply.output_tokens,
            ),
            metadata=reply.metadata,
        )
        return output, ModelCall.create(settings.to_generate_kwargs(), None, time=reply.batch_seconds)

    async def _get_local(self) -> LocalModel:
        # Loaded when it is first asked: inspect also builds providers only to look something up, and for re-scoring.
        async with self._loading:
            if self._local is None:
                self._local = await anyio.to_thread.run_sync(partial(self._load, device=self.device))
        return self._local

    def _answer(self, prompts: Sequence[Prompt], settings: Settings) -> list[Reply]:
        assert self._local is not None, "a prompt is read by the model before it is answered"
        return self._local.answer(prompts, settings)

    def close(self) -> None:
        """Frees the model's memory. The next chat loads it again."""
        self._local = None

    def max_tokens(self) -> int:
        """Longest answer where none is asked for."""
        return DEFAULT_MAX_TOKENS

    def max_connections(self) -> int:
        """Requests that may wait at once, where inspect does not adapt their number."""
        return self.batch_size

    def connection_key(self) -> str:
        """A model and its base do not wait for each other."""
        return self.model_name

    def collapse_user_messages(self) -> bool:
        """LLaVA's chats alternate."""
        return True

    def collapse_assistant_messages(self) -> bool:
        """LLaVA's chats alternate."""
        return True
