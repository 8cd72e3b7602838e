"""The model that is attacked: how a row becomes a prompt, and what is read off the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

from ...answer_scoring import AnswerGrammar
from ...models.safety_labels import SAFE_TYPE_ID
from .attack_reply import AttackReply
from .attack_row import AttackRow


@dataclass(frozen=True)
class AttackTarget:
    """
    A model, with all that an attack may know of it: everything.

    Args:
        model (`PreTrainedModel`): a LLaVA in evaluation mode, with or without a safety head, under its stored policy.
        processor (`ProcessorMixin`): its processor.
        grammar ([`~safe_llava.answer_scoring.AnswerGrammar`]): which answers are safe.
        seed (`int`, *optional*, defaults to 0): of what attacks draw at random.
        batch_size (`int`, *optional*, defaults to 16): prompts in one call of the model.
        max_new_tokens (`int`, *optional*, defaults to 32): longest answer, in tokens.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    grammar: AnswerGrammar
    seed: int = 0
    batch_size: int = 16
    max_new_tokens: int = 32

    @property
    def has_tiles(self) -> bool:
        """Whether the model cuts images into tiles, whose number depends on the image."""
        return getattr(self.model.config, "image_grid_pinpoints", None) is not None

    @property
    def has_head(self) -> bool:
        """Whether the model assesses what it is asked."""
        return bool(getattr(self.model.config, "use_safety_head", False))

    def render(self, row: AttackRow) -> str:
        """The text of a row's prompt."""
        how = {"continue_final_message": True} if row.begun else {"add_generation_prompt": True}
        return self.processor.apply_chat_template(row.chat(), tokenize=False, **how)

    def encode(self, rows: Sequence[AttackRow]) -> BatchFeature:
        """Rows as the model takes them, padded on the left."""
        images = [list(row.images) for row in rows]
        return self.processor(
            images=images if any(images) else None,
            text=[self.render(row) for row in rows],
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)

    @torch.no_grad()
    def ask(self, rows: Sequence[AttackRow]) -> list[AttackReply]:
        """Asks the model, as anybody would ask it."""
        replies: list[AttackReply] = []
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            inputs = self.encode(batch)
            output: Any = self.model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=False, return_dict_in_generate=True
            )
            new_tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
            answers = self.processor.batch_decode(new_tokens, skip_special_tokens=True)
            found = self._read_verdicts(output, inputs, len(batch))
            replies += [self._reply(row, answer.strip(), facts) for row, answer, facts in zip(batch, answers, found)]
        return replies

    def _read_verdicts(self, output: Any, inputs: BatchFeature, num_rows: int) -> list[dict[str, Any]]:
        if not self.has_head:
            return [{}] * num_rows
        verdict, decisions = output.get("safety_verdict"), output.get("safety_decisions")
        if verdict is None:  # no policy is stored
            verdict = self.model.assess(**inputs)
            decisions = self.model.decide(verdict)
        is_safe = (verdict.level == 0) | (verdict.trusted & (verdict.type == SAFE_TYPE_ID))
        return [
            {
                "missed": missed,
                "passed": decision.action == "answer",
                "level": level,
                "type": risk_type,
                "decision": decision.action,
            }
            for missed, decision, level, risk_type in zip(is_safe.tolist(), decisions, verdict.levels, verdict.types)
        ]

    def _reply(self, row: AttackRow, answer: str, facts: dict[str, Any]) -> AttackReply:
        unsafe = not self.grammar.is_safe(answer, row.safety_level)
        wanted = row.target.removeprefix(row.begun).strip()
        told = unsafe and (not row.target or any(self.grammar.is_right(answer, text) for text in (row.target, wanted)))
        return AttackReply(row, answer, unsafe, told, **facts)
