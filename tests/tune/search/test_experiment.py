"""What a search makes of a worker that breaks off; the search itself is tested by launches."""

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from dgad.errors import TrainingError
from tune.monitoring.progress import TrialEnd
from tune.search.experiment import _ProgressCallback


class _Told:
    """Keeps what a display would show."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.ends: list[TrialEnd] = []

    def begin_phase(self, text: str) -> None:
        self.phases.append(text)

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        self.ends.append(end)


def _trial(raised: object) -> Any:
    """A trial of Ray Tune's whose worker raised this."""

    def get_pickled_error() -> object:
        if raised is None:
            raise OSError("its file is gone")
        return SimpleNamespace(cause=raised)

    config = {"cell": "trivial@wood", "number": 3}
    return SimpleNamespace(config=config, last_result={}, get_pickled_error=get_pickled_error)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("event", ["on_trial_recover", "on_trial_error"])
def test_a_disk_that_takes_no_more_ends_the_search_and_is_no_finding(code: int, event: str) -> None:
    told = _Told()
    callback = _ProgressCallback(told, ())  # type: ignore[arg-type]
    trouble = OSError(code, "it refuses", "/runs/x/records/1.parquet")
    with pytest.raises(TrainingError, match="it refuses"):
        getattr(callback, event)(1, [], _trial(trouble))
    assert callback.disk_trouble is trouble
    assert told.ends == []


@pytest.mark.parametrize(
    ("raised", "why"),
    [
        (KeyError("x"), "its worker broke off: 'x'"),
        (RuntimeError("Traceback\n  of many\nthe reason"), "its worker broke off: the reason"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a"),
            "its worker broke off: [Errno 2] No such file: 'a'",
        ),
        (None, "its worker broke off"),
    ],
)
def test_any_other_reason_is_told_with_the_trial(raised: object, why: str) -> None:
    told = _Told()
    callback = _ProgressCallback(told, ())  # type: ignore[arg-type]
    callback.on_trial_recover(1, [], _trial(raised))
    assert told.phases == ["The worker of trivial@wood trial 3 died; the trial is begun again."]
    callback._num_folds["trivial@wood"] = 2
    callback.on_trial_error(1, [], _trial(raised))
    assert [end.error for end in told.ends] == [why]
    assert callback.disk_trouble is None
