"""The one thread that answers: chats in the order in which they came, each stopped when nobody waits for it."""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import torch
from transformers.generation import StoppingCriteria, StoppingCriteriaList

from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from ..models.processing_safety import SafetyProcessorMixin
from .answer_streamer import AnswerStreamer
from .answer_text import AnswerText
from .decided_policy import DecidedPolicy
from .generation_request import Done, Ended, Generation, Piece, Started
from .request_errors import shutting_down
from .serving_metrics import ServingMetrics


class GenerationWorker:
    """
    Answers chats one after the other.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): the model.
        processor ([`SafetyProcessorMixin`]): has the tokenizer.
        metrics ([`ServingMetrics`]): counts generations.
    """

    def __init__(
        self, model: SafeLlavaForConditionalGeneration, processor: SafetyProcessorMixin, metrics: ServingMetrics
    ):
        self.model, self.processor, self.metrics = model, processor, metrics
        self.is_draining = False
        self._waiting: queue.Queue[Generation | None] = queue.Queue()
        self._running: Generation | None = None
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    def submit(self, generation: Generation) -> None:
        self._waiting.put(generation)

    def cancel(self, generation: Generation) -> None:
        """Stops a chat at its next token, or before it begins."""
        generation.cancel()

    def drain(self) -> None:
        """Refuses what waits; what runs goes on, and nothing new is begun."""
        self.is_draining = True
        with contextlib.suppress(queue.Empty):
            while (generation := self._waiting.get_nowait()) is not None:
                generation.emit(Done(shutting_down()))

    def close(self) -> None:
        """Stops what runs, refuses what waits, and ends the thread."""
        self.drain()
        self._waiting.put(None)
        # Asked again and again, for a chat may just be on its way from the queue to what runs.
        while self._thread.is_alive():
            if (running := self._running) is not None:
                running.cancel()
            self._thread.join(0.05)

    def _work(self) -> None:
        while (generation := self._waiting.get()) is not None:
            if self.is_draining:
                generation.emit(Done(shutting_down()))
                continue
            if not generation.begin():
                continue
            self._running = generation
            try:
                self._answer(generation)
                generation.emit(Done(shutting_down() if generation.cancelled.is_set() else None))
            except Exception as error:
                generation.emit(Done(error))
            finally:
                self._running = None

    def _answer(self, generation: Generation) -> None:
        self.metrics.generations.inc()
        generation.emit(Started())
        sampling = generation.sampling
        arguments = sampling.to_arguments()
        if sampling.seed is None:
            torch.seed()
        else:
            torch.manual_seed(sampling.seed)
        for index in range(sampling.n):
            if not generation.cancelled.is_set():
                self._answer_once(generation, index, arguments)

    def _answer_once(self, generation: Generation, index: int, arguments: dict[str, Any]) -> None:
        assessment = generation.assessment
        input_ids = generation.prompt.input_ids[None].to(self.model.device)
        text = AnswerText(generation.sampling.stop, lambda piece: generation.emit(Piece(index, piece)))
        is_over = StopWhen(lambda: text.is_stopped or generation.cancelled.is_set())
        features: dict[str, Any] = (
            {} if assessment.features is None else {"mm_encoder_outputs": {"image": assessment.features}}
        )
        sequences: Any = self.model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            safety_policy=DecidedPolicy(assessment.in_force.policy, assessment.decision),
            streamer=AnswerStreamer(self.processor.tokenizer, text),
            stopping_criteria=StoppingCriteriaList([is_over]),
            **features,
            **arguments,
        )
        if generation.cancelled.is_set():
            return  # What was broken off is not whole, and nothing says that it is.
        new_tokens = sequences[0, input_ids.shape[1] :].tolist()
        self.metrics.tokens.inc(len(new_tokens))
        ends = self.model.generation_config.eos_token_id
        is_whole = text.is_stopped or new_tokens[-1] in (ends if isinstance(ends, list) else [ends])
        generation.emit(Ended(index, "stop" if is_whole else "length", len(new_tokens)))


class StopWhen(StoppingCriteria):
    """Ends generation as soon as a question is answered with yes."""

    def __init__(self, is_over: Callable[[], bool]):
        self.is_over = is_over

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        return torch.full((len(input_ids),), self.is_over(), dtype=torch.bool, device=input_ids.device)
