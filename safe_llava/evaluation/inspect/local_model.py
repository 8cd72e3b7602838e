"""A SafeLLaVA or a base LLaVA that answers batches of chats: the same code for both."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from transformers import AutoModelForImageTextToText

from ...chat_templates import fit_chat_template
from ...checkpoints import default_device, read_any_config
from ...family import FAMILY
from ...models.image_batches import join_images
from ...models.safety_configuration import SAFE_MODEL_TYPES
from ...models.safety_policy import SafetyPolicy, read_policy_changes


MODEL_TYPES = (*SAFE_MODEL_TYPES, *(model_type.removeprefix("safe_") for model_type in SAFE_MODEL_TYPES))


@dataclass(frozen=True)
class Settings:
    """
    How a batch is generated.

    Args:
        max_new_tokens (`int`): longest answer, in tokens.
        temperature (`float`, *optional*, defaults to 0.0): 0 is greedy decoding.
        top_p (`float`, *optional*), top_k (`int`, *optional*): limits of sampling; the model's own by default.
        stop (`tuple[str, ...]`, *optional*): texts that end an answer, and are not part of it.
        seed (`int`, *optional*): of sampling, set anew for every batch.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def to_generate_kwargs(self) -> dict[str, Any]:
        """Arguments of `generate`."""
        kwargs: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "do_sample": self.temperature > 0}
        if self.temperature > 0:
            sampling = {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
            kwargs |= {name: value for name, value in sampling.items() if value is not None}
        if self.stop:
            kwargs["stop_strings"] = list(self.stop)
        return kwargs


@dataclass(frozen=True)
class Prompt:
    """
    One chat, ready for a batch.

    Args:
        input_ids (`list[int]`): the rendered chat with the placeholders of its images.
        images (`dict[str, torch.Tensor]`, *optional*):
            `pixel_values` of its images, and what else the processor says of them. Empty where there are none.
    """

    input_ids: list[int]
    images: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """
    The answer to one chat.

    Args:
        text (`str`): the answer, without special tokens and without a hint.
        stop_reason (`"stop"` or `"max_tokens"`): why it ended.
        input_tokens (`int`): length of the prompt, images included, padding and hints not.
        output_tokens (`int`): length of the answer, its end token not counted.
        batch_seconds (`float`): how long the whole batch took.
        metadata (`dict`): ready for JSON. `safety_verdict` (a row of [`SafetyVerdict.to_list`], `None` without a head
            or an image), `safety_decision` (`None` where no policy applied), `safety_policy` (the start of the
            SHA-256 of the policy in force, `None` without one), `batch_size`, `seconds` (its share of the batch's)
            and `vision_passes` (how often the vision tower ran on each of its images).
    """

    text: str
    stop_reason: Literal["stop", "max_tokens"]
    input_tokens: int
    output_tokens: int
    batch_seconds: float
    metadata: dict[str, Any]


class LocalModel:
    """
    Args:
        checkpoint (`str`): a folder or a Hub id of a SafeLLaVA or a LLaVA.
        device (`str`, *optional*): such as `"cpu"` or `"cuda:0"`. Defaults to the first accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` keeps the checkpoint's.
        safety_policy (`str`, `dict` or `False`, *optional*):
            A JSON file, or a dictionary, with what to change in the stored policy. `False` turns it off; the verdict
            is given all the same. Defaults to the stored policy.

    Raises:
        ValueError: if the checkpoint cannot be loaded or is neither, or if the policy does not fit it.
    """

    def __init__(
        self,
        checkpoint: str,
        device: str | None = None,
        dtype: str = "auto",
        safety_policy: str | dict[str, Any] | Literal[False] | None = None,
    ):
        model_type = _read_model_type(checkpoint)
        device = device or default_device()
        self.model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, device_map=device).eval()
        # A base's too: user text cannot pose as a placeholder then, and both models read the same prompt.
        self.processor = FAMILY[f"safe_{model_type.removeprefix('safe_')}"].processor.from_pretrained(checkpoint)
        self.is_safe_llava = model_type in SAFE_MODEL_TYPES
        self.has_head = self.is_safe_llava and self.model.config.use_safety_head
        if self.is_safe_llava:
            self.model.check_ready(self.processor)
        else:
            fit_chat_template(self.processor, checkpoint)
        self.policy = self._settle_policy(safety_policy)

    def _settle_policy(self, safety_policy: str | dict[str, Any] | Literal[False] | None) -> SafetyPolicy | None:
        if safety_policy is False:
            return None
        if not self.is_safe_llava:
            if safety_policy is not None:
                raise ValueError("A base LLaVA takes no safety policy. Leave `safety_policy` out, or say `off`.")
            return None
        if safety_policy is not None:
            stored = self.model.safety_policy or SafetyPolicy()
            self.model.set_safety_policy(stored.updated(_read_changes(safety_policy)), self.processor)
        return self.model.safety_policy

    def read(self, conversation: list[dict[str, Any]]) -> Prompt:
        """
        Renders and tokenises one chat.

        Args:
            conversation (`list[dict]`): its messages, whose image parts hold `PIL.Image.Image`s.

        Returns:
            [`Prompt`]
        """
        encoded = self.processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        names = self.processor.image_processor.model_input_names
        return Prompt(encoded["input_ids"][0].tolist(), {name: encoded[name] for name in names if name in encoded})

    @torch.no_grad()
    def answer(self, prompts: Sequence[Prompt], settings: Settings) -> list[Reply]:
        """
        Answers a batch of chats, with or without images.

        Args:
            prompts (`Sequence[Prompt]`): of [`LocalModel.read`].
            settings ([`Settings`]): how to generate.

        Returns:
            `list[Reply]`: an answer for each chat, in their order.
        """
        started = time.perf_counter()
        inputs: dict[str, Any] = dict(
            self.processor.tokenizer.pad(
                {"input_ids": [prompt.input_ids for prompt in prompts]}, padding_side="left", return_tensors="pt"
            ).to(self.model.device)
        )
        images = join_images([prompt.images for prompt in prompts if prompt.images])
        kwargs = settings.to_generate_kwargs()
        if self.is_safe_llava:
            kwargs["safety_policy"] = None if self.policy else False
        with _counted(self.model.model.vision_tower) as encoded, _seeded(settings.seed):
            if images:
                images["pixel_values"] = images["pixel_values"].to(self.model.device, self.model.dtype)
                # With a head encoded once, for the answer and for a verdict where the policy is off.
                encoded_images = {"image": self.model.get_image_features(**images)} if self.has_head else None
                inputs |= images if encoded_images is None else {"mm_encoder_outputs": encoded_images}
            output: Any = self.model.generate(
                **inputs, **kwargs, tokenizer=self.processor.tokenizer, return_dict_in_generate=True
            )
            verdict = output.get("safety_verdict")
            if verdict is None and images and self.has_head:
                verdict = self.model.assess(**inputs, safety_policy=False)
        decisions = output.get("safety_decisions")
        rows = output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = time.perf_counter() - started

        verdicts = [None] * len(prompts) if verdict is None else verdict.to_list()
        num_images = [len(prompt.images.get("pixel_values", ())) for prompt in prompts]
        passes = sum(encoded) / max(sum(num_images), 1)
        common = {"safety_policy": _digest(self.policy), "batch_size": len(prompts), "seconds": seconds / len(prompts)}
        return [
            self._reply(
                prompt,
                tokens,
                settings,
                seconds,
                {
                    "safety_verdict": verdict_row if images_here else None,
                    "safety_decision": asdict(decisions[row]) if decisions is not None and images_here else None,
                    "vision_passes": passes if images_here else 0.0,
                    **common,
                },
            )
            for row, (prompt, tokens, verdict_row, images_here) in enumerate(zip(prompts, rows, verdicts, num_images))
        ]

    def _reply(
        self, prompt: Prompt, tokens: list[int], settings: Settings, seconds: float, metadata: dict[str, Any]
    ) -> Reply:
        config = self.model.generation_config
        end = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        length = next((i for i, token in enumerate(tokens) if token in (*end, config.pad_token_id)), len(tokens))
        text = self.processor.decode(tokens[:length], skip_special_tokens=True).strip()
        stops = [text.index(stop) for stop in settings.stop if stop in text]
        is_cut = length == settings.max_new_tokens and not stops
        return Reply(
            text=text[: min(stops)].rstrip() if stops else text,
            stop_reason="max_tokens" if is_cut else "stop",
            input_tokens=len(prompt.input_ids),
            output_tokens=length,
            batch_seconds=seconds,
            metadata=metadata,
        )


@contextmanager
def _counted(tower: torch.nn.Module) -> Iterator[list[int]]:
    """Collects how many images go through the vision tower in each of its calls."""
    counts: list[int] = []

    def count(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        counts.append(len(args[0] if args else kwargs["pixel_values"]))

    hook = tower.register_forward_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Leaves the generators of everyone else as they were."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _read_model_type(checkpoint: str) -> str:
    model_type = read_any_config(checkpoint).model_type
    if model_type not in MODEL_TYPES:
        raise ValueError(f"{checkpoint} is a {model_type!r}; this provider runs {' and '.join(MODEL_TYPES)} models.")
    return model_type


def _read_changes(safety_policy: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(safety_policy, dict):
        return safety_policy
    return read_policy_changes(safety_policy)


def _digest(policy: SafetyPolicy | None) -> str | None:
    return None if policy is None else hashlib.sha256(policy.to_json_string().encode()).hexdigest()[:16]
