"""Collects requests that wait at the same time into batches."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread


RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

PATIENCE = 0.05


@dataclass(eq=False)
class _Waiting:
    request: Any
    key: Hashable
    replies: list[Any] = field(default_factory=list)
    error: Exception | None = None


class Batcher(Generic[RequestT, ReplyT]):
    """
    Answers concurrent requests in batches, one batch at a time, in a thread. The request that waits longest leads: it
    waits until no more requests arrive or the batch is full, and answers those whose `key` is its own along with it.

    Args:
        answer (`Callable`): takes a list of requests and their key, and gives as many replies in the same order.
        batch_size (`int`): the most requests in one call of `answer`.
        patience (`float`, *optional*, defaults to 0.05):
            Seconds without a new request after which a batch that is not full starts.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[RequestT], Any], Sequence[ReplyT]],
        batch_size: int,
        patience: float = PATIENCE,
    ):
        self.answer = answer
        self.batch_size = batch_size
        self.patience = patience
        self._waiting: list[_Waiting] = []
        self._turn = anyio.Lock()

    async def __call__(self, request: RequestT, key: Hashable) -> ReplyT:
        """
        The reply to one request.

        Raises:
            Exception: what `answer` raises, for every request of the batch.
        """
        item = _Waiting(request, key)
        self._waiting.append(item)
        try:
            async with self._turn:
                if item in self._waiting:
                    await self._lead(item)
        finally:
            if item in self._waiting:
                self._waiting.remove(item)
        if item.error is not None:
            raise item.error
        return item.replies[0]

    async def _lead(self, leader: _Waiting) -> None:
        arrived = 0
        while arrived < len(self._waiting) < self.batch_size:
            arrived = len(self._waiting)
            await anyio.sleep(self.patience)
        others = [item for item in self._waiting if item is not leader and item.key == leader.key]
        batch = [leader, *others[: self.batch_size - 1]]
        self._waiting = [item for item in self._waiting if item not in batch]
        try:
            replies = await anyio.to_thread.run_sync(self.answer, [item.request for item in batch], leader.key)
        except Exception as error:
            for item in batch:
                item.error = error
            return
        except BaseException:
            for item in batch:
                item.error = RuntimeError("the batch was broken off")
            raise
        for item, reply in zip(batch, replies, strict=True):
            item.replies.append(reply)
