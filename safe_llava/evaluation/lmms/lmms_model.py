"""
A SafeLLaVA, or the LLaVA it was made from, as the model `safe_llava` of lmms-eval.

lmms-eval reads `MANIFEST` through the entry point group `lmms_eval.models`.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from lmms_eval.models.registry_v2 import ModelManifest
from lmms_eval.protocol import ChatMessages
from lmms_eval.utils import Collator
from loguru import logger
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from ...chat_templates import fit_chat_template
from ...checkpoints import default_device
from ...models.image_reading import read_image
from ...models.safety_configuration import SAFE_MODEL_TYPES
from ...models.safety_policy import SafetyDecision, SafetyPolicy, read_policy_changes


MANIFEST = ModelManifest(
    model_id="safe_llava", chat_class_path="safe_llava.evaluation.lmms.lmms_model.SafeLlavaForLmmsEval"
)


class SafeLlavaForLmmsEval(lmms):
    """
    Answers the generation tasks of lmms-eval in left-padded batches, a SafeLLaVA under its safety policy.

    The arguments are those of `--model_args`. How many requests of each task were answered, hinted and refused is
    logged, and stands in the results under `throughput` (as `avg_<task>_hint` and so on).

    Args:
        pretrained (`str`): a SafeLLaVA or a LLaVA, a folder or a Hub id.
        safety_policy (`False` or `str`, *optional*):
            `False` switches the policy off; a JSON file changes the fields it names. Defaults to the checkpoint's own.
        batch_size (`int`, *optional*, defaults to 1): requests in one `generate`.
        device (`str`, *optional*): such as `"cuda:0"`. Defaults to the process's accelerator, else the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): of the weights; `"auto"` keeps the checkpoint's.
        max_new_tokens (`int`, *optional*, defaults to 1024): longest answer where a task names none.
        requests_file (`str`, *optional*):
            Gets a JSON line for each request: `task`, `doc_id`, the policy's `action`, `level` and `types`,
            `prompt_tokens` and `new_tokens` without the end token, and `is_overlong`: the prompt and its answer may
            be longer than the language model was trained on.

    Raises:
        ValueError: if the batch size is no number, or if a policy is given for a model that has none.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        safety_policy: bool | str | None = None,
        batch_size: int | str = 1,
        device: str | None = None,
        dtype: str = "auto",
        max_new_tokens: int = 1024,
        requests_file: str | None = None,
    ):
        super().__init__()
        if not str(batch_size).isdigit():
            raise ValueError(f"--batch_size must be a number for safe_llava, got {batch_size!r}.")
        self.batch_size = int(batch_size)
        self.max_new_tokens = max_new_tokens
        self.requests_file = requests_file
        self.device = torch.device(device or default_device())
        self.processor: Any = AutoProcessor.from_pretrained(pretrained)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(
            pretrained, dtype=dtype, device_map=self.device
        ).eval()
        if self.model.config.model_type in SAFE_MODEL_TYPES:
            self.model.check_ready(self.processor)
        else:
            fit_chat_template(self.processor, pretrained)
        self.policy_arguments: dict[str, Any] = {}
        if safety_policy is not None:
            self._set_policy(pretrained, safety_policy)

    def _set_policy(self, pretrained: str, safety_policy: bool | str) -> None:
        if self.model.config.model_type not in SAFE_MODEL_TYPES:
            raise ValueError(
                f"{pretrained} is a {self.model.config.model_type!r} and has no safety policy. Leave `safety_policy` "
                "out, or give a SafeLLaVA."
            )
        if safety_policy is False:
            self.policy_arguments = {"safety_policy": False}
        elif isinstance(safety_policy, str):
            stored = self.model.safety_policy or SafetyPolicy()
            changes = read_policy_changes(safety_policy)
            self.model.set_safety_policy(stored.updated(changes), self.processor)
        else:
            raise ValueError(f"`safety_policy` must be false or the path of a JSON file, got {safety_policy!r}.")

    @torch.no_grad()
    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """
        Answers requests with the generation arguments of their task, cut at the first of its `until` strings.

        Args:
            requests (`list[Instance]`): of lmms-eval's chat tasks.

        Returns:
            `list[GenerationResult]`: an answer for each request, in their order.

        Raises:
            ValueError: if a request holds anything but images and text.
        """
        collator = Collator(
            requests, lambda request: -len(request.args[0]), group_fn=lambda request: request.args[2], grouping=True
        )
        results: list[GenerationResult] = []
        records: list[dict[str, Any]] = []
        started = time.perf_counter()
        with tqdm(total=len(requests), desc="safe_llava", disable=self.rank != 0) as progress:
            for batch in collator.get_batched(n=self.batch_size):
                answers, batch_records = self._answer(batch)
                results += answers
                # Data-parallel runs repeat a request so that all processes have as many.
                records += [
                    record
                    for record, request in zip(batch_records, batch)
                    if "__padding_only__" not in request.metadata
                ]
                progress.update(len(batch))
        self._report(gather_object(records), time.perf_counter() - started)
        return collator.get_original(results)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """
        Not available: a policy steers what a model generates, and a likelihood would go around it.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "safe_llava answers generation tasks only: a likelihood would go around the safety policy. Take the "
            "task's generation variant, such as seedbench for seedbench_ppl."
        )

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """
        Not available.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("safe_llava answers single-round tasks only.")

    def _answer(self, batch: Sequence[Instance]) -> tuple[list[GenerationResult], list[dict[str, Any]]]:
        conversations = [self._read_messages(request) for request in batch]
        texts = [
            self.processor.apply_chat_template(conversation, add_generation_prompt=True)
            for conversation in conversations
        ]
        images = [
            [part["image"] for message in conversation for part in message["content"] if part["type"] == "image"]
            for conversation in conversations
        ]
        inputs = self.processor(
            images=images if any(images) else None,
            text=texts,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.device, self.model.dtype)
        task_arguments = batch[0].args[2]
        arguments = self._generation_arguments(task_arguments)
        until = [text for text in _as_list(task_arguments.get("until")) if text]
        if until:
            arguments |= {"stop_strings": until, "tokenizer": self.processor.tokenizer}
        output = self.model.generate(**inputs, **arguments, **self.policy_arguments, return_dict_in_generate=True)

        new_tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
        prompt_lengths = inputs["attention_mask"].sum(dim=1).tolist()
        answer_lengths = self._count_tokens(new_tokens)
        answers = self.processor.batch_decode(new_tokens, skip_special_tokens=True)
        decisions = output.get("safety_decisions") or [SafetyDecision("answer")] * len(batch)
        context = self.model.config.text_config.max_position_embeddings
        results, records = [], []
        for request, answer, decision, prompt, length in zip(
            batch, answers, decisions, prompt_lengths, answer_lengths
        ):
            results.append(GenerationResult(cut_at(answer, until).strip(), TokenCounts(prompt, length)))
            records.append(
                {"task": request.task_name, "doc_id": request.doc_id}
                | {name: value for name, value in asdict(decision).items() if name != "texts"}
                | {"prompt_tokens": prompt, "new_tokens": length, "is_overlong": prompt + length > context}
            )
        return results, records

    def _read_messages(self, request: Instance) -> list[dict[str, Any]]:
        _, doc_to_messages, _, doc_id, task, split = request.args
        messages = ChatMessages(messages=doc_to_messages(self.task_dict[task][split][doc_id])).to_hf_messages()
        for part in (part for message in messages for part in message["content"]):
            if part["type"] == "image":
                part["image"] = read_image(part["image"]).image
            elif part["type"] != "text":
                raise ValueError(
                    f"Document {doc_id} of the task {task} holds a part of type {part['type']!r}; safe_llava reads "
                    "images and text."
                )
        return messages

    def _generation_arguments(self, task_arguments: dict[str, Any]) -> dict[str, Any]:
        """What `generate` takes of a task's arguments; a task without a temperature above 0 is answered greedily."""
        known = set(vars(GenerationConfig()))
        # `image_aspect_ratio` belongs to the original LLaVA's image code; here the processor decides.
        if unknown := set(task_arguments) - known - {"until", "image_aspect_ratio"}:
            logger.warning(f"Generation arguments that transformers does not know are left out: {sorted(unknown)}.")
        arguments = {name: value for name, value in task_arguments.items() if name in known and value is not None}
        temperature = arguments.get("temperature", 0.0)
        arguments["do_sample"] = bool(temperature > 0 and arguments.get("do_sample", True))
        if not arguments["do_sample"]:
            for name in ("temperature", "top_p", "top_k"):
                arguments.pop(name, None)
        return {"max_new_tokens": self.max_new_tokens} | arguments

    def _count_tokens(self, new_tokens: torch.Tensor) -> list[int]:
        """Length of each answer up to its last token that neither ends nor pads it."""
        tokenizer = self.processor.tokenizer
        fillers = {tokenizer.pad_token_id, *_as_list(self.model.generation_config.eos_token_id)} - {None}
        is_answer = ~torch.isin(new_tokens, new_tokens.new_tensor(sorted(fillers)))
        positions = torch.arange(1, new_tokens.shape[1] + 1, device=new_tokens.device)
        return (is_answer * positions).amax(dim=1).tolist()

    def _report(self, records: list[dict[str, Any]], seconds: float) -> None:
        actions = Counter((record["task"], record["action"]) for record in records)
        counts = {
            f"{task}_{action}": actions[task, action]
            for task in sorted({record["task"] for record in records})
            for action in ("answer", "hint", "refuse")
        }
        tokens = sum(record["new_tokens"] for record in records)
        log_metrics(seconds, tokens, tokens / seconds, counts)
        if overlong := sum(record["is_overlong"] for record in records):
            logger.warning(f"{overlong} requests are longer than the context of the language model.")
        if self.requests_file is not None and self.rank == 0:
            lines = "".join(json.dumps(record) + "\n" for record in records)
            Path(self.requests_file).write_text(lines, encoding="utf-8")


def cut_at(text: str, until: Sequence[str]) -> str:
    """
    Cuts an answer where it should have ended.

    Args:
        text (`str`): the answer.
        until (`Sequence[str]`): what ends it.

    Returns:
        `str`: `text` up to the first place where one of `until` begins.
    """
    return text[: min((place for place in map(text.find, until) if place >= 0), default=None)]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
