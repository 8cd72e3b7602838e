"""
Assesses images as a process of an audit does, for [`exported_guard`]: `python FILE MODEL IMAGES BATCH_SIZE`.

Run as a file, so that it imports no more than an audit does. A line of JSON says when it is ready, and after every
line that it is sent another one, when it has assessed all images.
"""

import json
import sys
import time
from pathlib import Path

from safe_llava_cli.package_import import import_package


def main(model: str, folder: Path, batch_size: int) -> None:
    import_package(model)
    from safe_llava.audit.audit_row import AuditRow
    from safe_llava.audit.row_assessment import RowAssessor

    assessor = RowAssessor(model, device="cpu")
    rows = [AuditRow(path.name, (path,)) for path in sorted(folder.iterdir())]
    assessor.assess([assessor.prepare(rows[0])])
    answer(imports_torch="torch" in sys.modules)
    for _ in sys.stdin:
        started, assessing = time.perf_counter(), 0.0
        for start in range(0, len(rows), batch_size):
            prepared = [assessor.prepare(row) for row in rows[start : start + batch_size]]
            before = time.perf_counter()
            assessor.assess(prepared)
            assessing += time.perf_counter() - before
        answer(images=len(rows), seconds=time.perf_counter() - started, assessing=assessing, memory=peak_memory())


def answer(**values: object) -> None:
    print(json.dumps(values), flush=True)


def peak_memory() -> int:
    """Bytes that this process has held at most. Linux says so."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
