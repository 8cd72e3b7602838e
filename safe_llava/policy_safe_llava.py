"""The safety policy that a model carries in its configuration, and what it decides about a verdict."""

from typing import Any, Literal

import torch

from .safety_policy import SafetyDecision, SafetyPolicy
from .safety_policy_tokens import tokenize_policy
from .safety_verdict import SafetyVerdict


class SafeLlavaPolicyMixin:
    """Adds `safety_policy`, `set_safety_policy` and `decide` to the full model and to the guard."""

    config: Any

    @property
    def safety_policy(self) -> SafetyPolicy | None:
        """The policy that is stored with the model, or `None`. Change it with `set_safety_policy`."""
        return None if self.config.safety_policy is None else SafetyPolicy.from_dict(self.config.safety_policy)

    def set_safety_policy(self, policy: SafetyPolicy | dict | None, processor: Any = None) -> None:
        """
        Stores a policy with the model: in `config.safety_policy`, with its texts as token ids beside it.

        Args:
            policy ([`SafetyPolicy`], `dict` or `None`):
                The policy; a dictionary may name a part of the fields, the rest are the defaults. `None` removes it.
            processor ([`SafeLlavaProcessor`]):
                Tokenises the texts and knows the chat template. Not needed to remove a policy.

        Raises:
            ValueError: if the policy is invalid, or if there is no processor to tokenise it.
        """
        if policy is None:
            self.config.safety_policy = self.config.safety_policy_token_ids = None
            return
        if processor is None:
            raise ValueError("`processor` is missing: it is needed to turn the policy's texts into token ids.")
        policy = SafetyPolicy.from_dict(policy) if isinstance(policy, dict) else policy
        self.config.safety_policy = policy.to_dict()
        self.config.safety_policy_token_ids = tokenize_policy(policy, processor)

    def decide(
        self, verdict: SafetyVerdict, safety_policy: SafetyPolicy | dict | Literal[False] | None = None
    ) -> list[SafetyDecision]:
        """
        What a policy does with each row of a verdict. Rows without a picture are answered.

        Args:
            verdict ([`SafetyVerdict`]): from `assess` under the same policy, whose temperature is then in it.
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                As in `assess`. Without a policy every row is answered.
        """
        policy = self._resolve_safety_policy(safety_policy)
        # One read of the device for all, and the first that waits for the verdict.
        columns = (verdict.has_image, verdict.trusted, verdict.level)
        rows = torch.cat([torch.stack(columns, dim=1).to(verdict.type_probs), verdict.type_probs], dim=1).tolist()
        return [
            policy.decide(int(level), type_probs, bool(trusted))
            if has_image and policy is not None
            else SafetyDecision("answer")
            for has_image, trusted, level, *type_probs in rows
        ]

    def _resolve_safety_policy(
        self, safety_policy: SafetyPolicy | dict | Literal[False] | None
    ) -> SafetyPolicy | None:
        if safety_policy is False:
            return None
        if safety_policy is None:
            return self.safety_policy
        if isinstance(safety_policy, dict):
            return (self.safety_policy or SafetyPolicy()).updated(safety_policy)
        return safety_policy
