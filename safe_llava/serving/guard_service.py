"""What all routes share: the model, the policy, the batches, the log; and the one way from a chat to its verdict."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..batching import Batcher
from ..guards.assessing_guard import AssessingGuard
from ..models.encoded_prompt import EncodedPrompt
from ..models.safety_policy import SafetyDecision
from .audit_log import AuditLog
from .chat_reading import ReadChat
from .generation_request import AnsweringWorker
from .guard_pass import Assessment, GuardPass, GuardRequest
from .policy_holder import PolicyHolder, PolicyInForce
from .prompt_encoding import encode_chat
from .request_errors import RequestError
from .serving_metrics import ServingMetrics
from .serving_settings import ServingSettings


_READERS = 4
"""Threads that fetch, decode and encode: what bounds the decoded images that are held at once."""
_PATIENCE = 0.002
ResultT = TypeVar("ResultT")


class GuardService:
    """
    Assesses what routes read, and writes it down before it returns.

    Args:
        guard ([`AssessingGuard`]): what assesses.
        policies ([`PolicyHolder`]): the policy in force.
        log ([`AuditLog`]): where every request is written down.
        settings ([`ServingSettings`]): what the operator decided.
        answers (`Callable`, *optional*): given the metrics, what answers chats; without it none is answered.
    """

    def __init__(
        self,
        guard: AssessingGuard,
        policies: PolicyHolder,
        log: AuditLog,
        settings: ServingSettings,
        answers: Callable[[ServingMetrics], AnsweringWorker] | None = None,
    ):
        self.guard, self.policies = guard, policies
        self.log, self.settings, self.metrics = log, settings, ServingMetrics()
        self.worker = None if answers is None else answers(self.metrics)
        self._is_draining = False
        self._assess_prompts = GuardPass(guard)
        self._batcher: Batcher[GuardRequest, Assessment] = Batcher(
            self._assess_batch, settings.limits.guard_batch, _PATIENCE
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")

    @property
    def is_draining(self) -> bool:
        """Whether the server is shutting down."""
        return self._is_draining

    def drain(self) -> None:
        """Nothing new is begun; what runs goes on."""
        self._is_draining = True
        if self.worker is not None:
            self.worker.drain()

    def close(self) -> None:
        self._is_draining = True
        if self.worker is not None:
            self.worker.close()
        self._readers.shutdown(cancel_futures=True)
        self.log.close()

    def require_worker(self) -> AnsweringWorker:
        """What answers chats; raises a `RequestError` where there is nothing that could."""
        if self.worker is None:
            message = "This server has the guard alone, which assesses and does not answer: ask /v1/moderations."
            raise RequestError(404, "not_answered_here", message)
        return self.worker

    def require_model(self, name: str | None) -> None:
        """Raises a `RequestError` where a request names another model than the one that is served."""
        if name != self.settings.name:
            message = f"There is no model of this name here. The one that is served is {self.settings.name!r}."
            raise RequestError(404, "model_not_found", message, "model")

    async def read(self, call: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Runs what reads and decodes beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *arguments)

    async def assess(
        self,
        chats: Sequence[ReadChat],
        in_force: PolicyInForce,
        id: str,
        route: str,
        content: Any,
        keeps_features: bool = False,
    ) -> list[tuple[EncodedPrompt, Assessment]]:
        """
        Encodes chats and assesses those with images, together with what else waits; then writes each down.

        Args:
            chats (`Sequence[ReadChat]`): the chats.
            in_force ([`PolicyInForce`]): the policy of this request.
            id (`str`): the request's name.
            route (`str`): its route.
            content (`Any`): what the client sent, for the log where that is wanted.
            keeps_features (`bool`, *optional*, defaults to `False`): whether answers may follow.

        Raises:
            RequestError: if a chat is too long.
            OSError: if the log cannot be written.
        """
        started = time.perf_counter()
        prompts = [await self.read(encode_chat, chat, self.guard) for chat in chats]
        assessments = await asyncio.gather(*(self._assess(prompt, in_force, keeps_features) for prompt in prompts))
        seconds = time.perf_counter() - started
        self.metrics.guard_seconds.observe(seconds)
        for number, (chat, assessment) in enumerate(zip(chats, assessments)):
            self._write_down(chat, assessment, id=id, route=route, input=number, latency_ms=round(1000 * seconds, 1))
        if self.settings.log_content:
            self.log.write("content", id=id, route=route, content=content)
        return list(zip(prompts, assessments))

    async def _assess(self, prompt: EncodedPrompt, in_force: PolicyInForce, keeps_features: bool) -> Assessment:
        if not prompt.images:
            return Assessment(in_force, SafetyDecision("answer"))
        upstream = self.settings.upstream
        keeps_features &= upstream is None or upstream.images == "embeds"
        return await self._batcher(GuardRequest(prompt, in_force, keeps_features), None)

    def _assess_batch(self, requests: Sequence[GuardRequest], key: None) -> list[Assessment]:
        self.metrics.guard_batch.observe(len(requests))
        return self._assess_prompts(requests)

    def _write_down(self, chat: ReadChat, assessment: Assessment, **values: Any) -> None:
        verdict, decision = assessment.verdict, assessment.decision
        found: dict[str, Any] = {"assessed": verdict is not None}
        if verdict is None:
            self.metrics.not_assessed.inc()
        else:
            trusted, distrust = verdict["trusted"], verdict["distrust"]
            self.metrics.verdicts.labels(verdict["level"], str(trusted).lower(), decision.action).inc()
            found |= {"trusted": trusted, "level": verdict["level"], "type": verdict["type"], "types": decision.types}
            found |= {} if trusted else {"distrust": distrust}
            # What is not trusted need not be a number, unless it is unfamiliar.
            has_logits = trusted or distrust == "unfamiliar"
            found |= {**(assessment.logits or {}), "weights": self.guard.weights} if has_logits else {}
        self.log.write(
            "assessed",
            **values,
            images=chat.images,
            **found,
            action=decision.action,
            enforced=not self.settings.observe_only,
            policy_version=assessment.in_force.version,
        )
