"""Tar files in webdataset's form as a source of an audit."""

from collections.abc import Iterator
from itertools import islice

from ..data.tar_samples import MissingImageError, Sample, read_samples, record_of
from .audit_row import AuditRow, printable_key, read_row


_SAMPLES_LOOKED_AT = 100
"""Samples in which a column that was named must be found."""


class WebdatasetSource:
    """
    The samples of tar files, a shard for each file. The fields of a sample are its members' suffixes, and every field
    that is named like an image or begins like one is an image.

    Args:
        urls (`list[str]`): the files, local or whatever fsspec opens.
        name (`str`): what the user called them.
        image_columns (`tuple[str, ...]`, *optional*): fields with images. Defaults to all that are images.
        text_column (`str`, *optional*): field of the question, a text, or a conversation in JSON.
        key_column (`str`, *optional*): field of the key. Defaults to the common part of the members' names.

    Raises:
        ValueError: if there is no file, or the first samples lack a column that was named.
    """

    def __init__(
        self,
        urls: list[str],
        name: str,
        image_columns: tuple[str, ...] = (),
        text_column: str | None = None,
        key_column: str | None = None,
    ):
        if not urls:
            raise ValueError(f"no file is called {name}")
        self._urls, self.image_columns, self.text_column, self.key_column = (
            urls,
            image_columns,
            text_column,
            key_column,
        )
        self.num_shards: int = len(urls)
        self.num_rows: int | None = None
        wanted = {*image_columns, *filter(None, (text_column, key_column))}
        if wanted:
            found = set().union(*map(_fields_of, islice(read_samples(urls[0]), _SAMPLES_LOOKED_AT)))
            if missing := sorted(wanted - found):
                raise ValueError(f"{urls[0]} has no column {missing[0]!r}; it has {', '.join(sorted(found))}")

    def shard_rows(self, shard: int) -> None:
        """Only reading a tar file tells how many samples it has."""

    def rows(self, shard: int, start: int = 0) -> Iterator[AuditRow]:
        """The rows of a shard from row `start` on."""
        yield from map(self._row, islice(read_samples(self._urls[shard]), start, None))

    def _row(self, sample: Sample) -> AuditRow:
        named = None if self.key_column is None else sample.fields.get(self.key_column)
        key = printable_key(sample.key if named is None else named.decode("utf-8", "replace").strip())
        if sample.problem is not None:
            return AuditRow(key, problem=sample.problem)
        try:
            record = record_of(sample, self.image_columns, self.text_column)
        except MissingImageError as error:
            return AuditRow(key, problem=f"image not given: {error}")
        except ValueError as error:
            return AuditRow(key, problem=f"not a row: {error}")
        if not record["images"]:
            del record["images"]
        text_column = self.text_column
        if text_column == "json" and not isinstance(record.get("json"), str):
            text_column = None  # What the member says is the row.
        return read_row(key, record, ("images",), text_column)


def _fields_of(sample: Sample) -> set[str]:
    try:
        return sample.fields.keys() | record_of(sample).keys()
    except ValueError:
        return {*sample.fields}
