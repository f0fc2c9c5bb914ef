"""What a new process does to go on with a simulated study: `python benchmarks/scale_resume.py RUNS OPTIONS`.

`benchmarks/scale.py` starts it on a copy of a study that was killed, and reads the seconds it prints.
"""

import time

_BEGAN_S = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from rich.console import Console  # noqa: E402
from scale_study import Options, cells_of_run, run_at  # noqa: E402
from simulated_fits import SimulatedWorkbench  # noqa: E402
from simulated_search import searcher_of  # noqa: E402

from tune.fits.coordinator import Coordinator  # noqa: E402
from tune.monitoring.progress import PlainProgress  # noqa: E402


def resume(runs: Path, options: Options) -> dict[str, float]:
    """Seconds from the start of the process to its first suggestion, by step."""
    steps = {"import": time.perf_counter() - _BEGAN_S}

    def passed(name: str) -> None:
        steps[name] = time.perf_counter() - _BEGAN_S - sum(steps.values())

    run = run_at(runs, options)
    cells = cells_of_run(run, options)
    passed("study")
    searcher = searcher_of(run, cells)
    passed("journals")
    with open(os.devnull, "w") as nowhere:
        board = PlainProgress(cells, Console(file=nowhere)).board
        for cell_name, trials in searcher.trials().items():
            board.restore(cell_name, trials)
    passed("board")
    SimulatedWorkbench(run)
    keeper = Coordinator(run.ledger_location)
    keeper.append(cells[0].name, "fit", (), None, {"fit": "none"})
    passed("stores")
    searcher.suggest("first")
    passed("suggest")
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    peak_kib = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return {**steps, "total": sum(steps.values()), "peak_mib": peak_kib / 1024, "left": searcher.num_left}


if __name__ == "__main__":
    print(json.dumps(resume(Path(sys.argv[1]), Options(**json.loads(sys.argv[2])))))
