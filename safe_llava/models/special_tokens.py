"""Which tokens of a tokenizer are special."""

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from .chat_text import ChatText


def find_special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """
    The special tokens of a tokenizer by their ids, also those that it has and does not list: adding one to the extra
    ones takes the others off `all_special_tokens`, and a text that spells them still becomes them.
    """
    listed = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens))
    return listed | {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def special_texts(processor: ProcessorMixin) -> ChatText:
    """What breaks up the special tokens and placeholders of a model in texts that are read as its prompts."""
    special = find_special_tokens(processor.tokenizer).values()
    return ChatText({processor.image_token, getattr(processor, "video_token", ""), *special})
