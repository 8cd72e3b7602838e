"""Peak memory of each way, in a process that holds only the models of this way."""

import gc
import multiprocessing
import re
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from .answering_ways import build_models, make_way
from .shapes import base_config


def peak_memory(
    shape: str, ways: list[str], batch_sizes: list[int], device: str, dtype: torch.dtype
) -> dict[str, list[int]]:
    """For each way, the [`peak_bytes`] of an answer of two tokens at each batch size, in the order of their size."""
    # A GPU's peak can be set back, a process's cannot.
    groups = [ways] if device == "cuda" else [[way] for way in ways]
    peaks: dict[str, list[int]] = {}
    for group in groups:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            for way in group:
                arguments = (shape, way, sorted(batch_sizes), device, dtype, torch.get_num_threads())
                peaks[way] = pool.submit(_answer, *arguments).result()
    return peaks


def _answer(shape: str, way: str, batch_sizes: list[int], device: str, dtype: torch.dtype, threads: int) -> list[int]:
    torch.set_num_threads(threads)
    base = base_config(shape)
    if device == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
    models = build_models(base, [way], device, dtype)
    peaks: list[int] = []
    for batch_size in batch_sizes:
        make_way(way, base, models, batch_size)(max_new_tokens=2)
        peaks.append(peak_bytes(device))
    return peaks


def peak_bytes(device: str) -> int:
    """
    The most that this process has held so far: of the GPU, or its high-water mark, Python and its libraries included.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        # Not `getrusage`, which on Linux starts from the peak of the parent process.
        return int(re.findall(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
