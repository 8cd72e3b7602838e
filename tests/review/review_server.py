"""The page of `safe-llava review rate`, served by the real command."""

from pathlib import Path

from safe_llava.review import Rating, ReviewSample, load_ratings, load_samples
from tests.page_server import PageServer, find_free_port


class Server(PageServer):
    """`safe-llava review rate` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.samples = load_samples(folder / "samples.jsonl")
        self.file = folder / "ratings.jsonl"
        port = find_free_port()
        arguments = ["--rater", "anna", "--output", self.file, "--port", port, *options]
        super().__init__(port, ["-m", "safe_llava", "review", "rate", folder / "samples.jsonl", *arguments])

    def rating(self, sample: ReviewSample) -> Rating | None:
        ratings = load_ratings(self.file).ratings if self.file.exists() else []
        return next((rating for rating in ratings if rating.id == sample.id), None)
