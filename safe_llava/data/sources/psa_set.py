"""PSA: rows in the form of the authors of the method, with a level and a type each."""

from collections.abc import Iterator

from .llava_rows import read_llava_rows
from .public_set import PublicSet, SetRequest, SetRow


def _read(request: SetRequest) -> Iterator[SetRow]:
    return read_llava_rows(request, ("train.json", "train.jsonl"))


PSA = PublicSet(
    name="psa",
    title="PSA",
    paper="Liu et al., Safety Alignment for Vision Language Models, 2024, arXiv 2405.13581; PSA-VLM, arXiv 2411.11543",
    home="the authors' repository, which arXiv 2411.11543 names",
    hub_id=None,
    licence="none stated",
    layout="""
<any name>.json, .jsonl, each also in .gz   a list, or a row a line
<image_folder>/<image>                      by default beside the table
""",
    columns={
        "safe_level": "0 to 3",
        "safe_type": "0 to 6",
        "image": "file name, or several joined by <split>",
        "conversations": "list of {from: USER | ASSISTANT (or human | gpt), value}",
    },
    cannot_tell="Nothing: it has levels and types. The 11,000 + 3,000 pairs of the paper were never published.",
    splits=("train",),
    read=_read,
    uses_image_folder=True,
)
