"""Peak memory of one way, in a process of its own that holds only the models of this way."""

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from shapes import base_config
from ways import build_models, make_way


def peak_memory(shape: str, way: str, batch_sizes: list[int], device: str, dtype: torch.dtype) -> list[int | None]:
    """
    Bytes after an answer of two tokens at each batch size, in the order of their size: of the GPU, or the high-water
    mark of the process, Python and its libraries included (on Linux; elsewhere `None`).
    """
    arguments = (shape, way, sorted(batch_sizes), device, dtype, torch.get_num_threads())
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_answer, *arguments).result()


def _answer(
    shape: str, way: str, batch_sizes: list[int], device: str, dtype: torch.dtype, threads: int
) -> list[int | None]:
    torch.set_num_threads(threads)
    base = base_config(shape)
    models = build_models(base, [way], device, dtype)
    peaks: list[int | None] = []
    for batch_size in batch_sizes:
        make_way(way, base, models, batch_size)(max_new_tokens=2)
        peaks.append(torch.cuda.max_memory_allocated() if device == "cuda" else _high_water_mark())
    return peaks


def _high_water_mark() -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    # Not `resource.getrusage`, which starts from the peak of the parent process.
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
