"""An answer's tokens as text, as `generate` makes them."""

import torch
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from .answer_text import AnswerText


class AnswerStreamer(BaseStreamer):
    """
    A streamer that decodes an answer's tokens.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): a fast tokenizer.
        text ([`AnswerText`]): takes what they say.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: AnswerText):
        self.text = text
        self._tokenizer = tokenizer.backend_tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._has_prompt = False

    def put(self, value: torch.Tensor) -> None:
        if not self._has_prompt:
            self._has_prompt = True
            return
        for token_id in value.flatten().tolist():
            if piece := self._decoder.step(self._tokenizer, token_id):
                self.text.add(piece)

    def end(self) -> None:
        self.text.end()
