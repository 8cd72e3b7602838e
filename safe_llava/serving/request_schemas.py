"""
The bodies of requests. A field that would have no effect is refused, but for those that change no answer.

Where a field is accepted in one value only, this is the value that asks for nothing.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .request_errors import NO_EFFECT


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def only(*values: Any) -> AfterValidator:
    """What a field that is not done here may be: null, or a value that asks for nothing."""

    def check(value: Any) -> Any:
        if value is not None and value not in values:
            raise PydanticCustomError(NO_EFFECT, "It has no effect here.")
        return value

    return AfterValidator(check)


Absent = Annotated[Any, only()]
Empty = Annotated[Any, only([], {})]
Zero = Annotated[Any, only(0)]
Off = Annotated[Any, only(False)]


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(Body):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
AnswerPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: str | list[Part]
    name: str | None = None


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: str | list[AnswerPart] | None = None
    refusal: str | None = None
    name: str | None = None
    annotations: Empty = None
    audio: Absent = None
    function_call: Absent = None
    tool_calls: Empty = None
    parsed: Absent = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: Off = None


class ChatRequest(Body):
    """`POST /v1/chat/completions`. `safety_policy` is ours."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    n: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    safety_policy: dict[str, Any] | None = None
    # What changes no answer.
    metadata: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None
    # What is not done here, in the value that asks for nothing.
    audio: Absent = None
    frequency_penalty: Zero = None
    function_call: Annotated[Any, only("none")] = None
    functions: Empty = None
    logit_bias: Empty = None
    logprobs: Off = None
    modalities: Annotated[Any, only(["text"])] = None
    parallel_tool_calls: bool | None = None
    prediction: Absent = None
    presence_penalty: Zero = None
    reasoning_effort: Absent = None
    response_format: Annotated[Any, only({"type": "text"})] = None
    store: Off = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    tools: Empty = None
    top_logprobs: Zero = None
    verbosity: Absent = None
    web_search_options: Absent = None


class ModerationRequest(Body):
    """`POST /v1/moderations`. Parts are one input; a list of lists of parts, and `safety_policy`, are ours."""

    input: str | list[str] | list[Part] | list[list[Part]]
    model: str | None = None
    safety_policy: dict[str, Any] | None = None


class GuardrailRequest(BaseModel):
    """`POST /beta/litellm_basic_guardrail_api`. LiteLLM tells much more about its call."""

    model_config = ConfigDict(extra="ignore")

    input_type: Literal["request", "response"]
    texts: list[str] | None = None
    images: list[str] | None = None
    structured_messages: list[dict[str, Any]] | None = None
