"""What a study's figures depend on besides its settings, and whether it is what the study began with."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dgad.errors import DataError, RecordError, UserError
from dgad.report.summary import StudySummary, read_summary
from tune.fits.run import compute_code_version
from tune.launcher.request import Request
from tune.run_folder.demo_data import provide_data
from tune.run_folder.folder import RunInfo, read_info
from tune.run_folder.layout import DATA_FOLDER, SUMMARY_FILE
from tune.run_folder.process import read_ended
from tune.spaces.features import choose_features
from tune.study.data import StudyData, open_data
from tune.study.settings import Study


def describe_inputs(study: Study, found: StudyData, command: str) -> RunInfo:
    """Read the data, the weights and the code once, and tell what they are by sums."""
    data = found.fingerprints()
    return RunInfo(
        data_fingerprint=data.own,
        code_version=compute_code_version(),
        command=command,
        extra_targets=found.extra_targets,
        extra_fingerprint=data.extra,
        domain_fingerprints=dict(data.by_domain),
        weights_sha256=compute_weights_sum(study.weights),
        searched_weights_sha256=compute_searched_sums(study),
    )


def compute_weights_sum(weights: str) -> str:
    """The SHA-256 (hex) of a weights file; empty for weights that are none, or none that is there."""
    path = Path(weights)
    if path.suffix != ".safetensors" or not path.is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compute_searched_sums(study: Study) -> dict[str, str]:
    """The SHA-256 (hex) of every further weights file that the study uses or searches, by path."""
    chosen = study.searched_features.combinations()
    each = (study.features, *(choose_features(study.features, c) for c in chosen))
    files = {own.weights for features in each for own in features.each} - {study.weights}
    return {weights: total for weights in sorted(files) if (total := compute_weights_sum(weights))}


def check_unchanged(before: RunInfo, now: RunInfo, study: Study, data: str) -> None:
    """Raise unless the study goes on with the data, the weights and the code it began with."""
    check_data(before, now, study, data)
    if before.code_version != now.code_version:
        raise RecordError(
            f"The study `{study.name}` was begun with dgad {before.code_version}, and this is"
            f" {now.code_version}: its fits would not be comparable. Go on with that version, or choose"
            " another --name."
        )


def read_finished(folder: Path, *, retry_failed: bool) -> StudySummary | None:
    """The summary of a study that has nothing left to do, or None."""
    if not (folder / SUMMARY_FILE).is_file():
        return None
    summary = read_summary(folder)
    failed = [t for c in summary.cells for t in c.trials if t.status == "failed"]
    return None if any(c.error for c in summary.cells) or (retry_failed and failed) else summary


def check_finished(request: Request, study: Study, folder: Path) -> str:
    """Tell that nothing is run of a finished study, and on what else it could not be told to stand.

    Raises `DataError` where its data or weights are others now: its result would pass for theirs.
    """
    before, ended = read_info(folder), read_ended(folder)
    when = f" on {ended.at[:16].replace('T', ' ')} UTC" if ended else ""
    told = [f"Nothing was run: the study `{study.name}` finished{when}, and this is its result."]
    if before is None:
        return told[0]
    # Without data of its own and none in its folder, what is made here is as the code that makes it.
    if study.data is not None or (folder / DATA_FOLDER).is_dir():
        try:
            with provide_data(study, folder) as data:
                now = describe_inputs(study, open_data(study, data, request.disk_cache), "")
        except (UserError, OSError) as error:
            told.append(f"Whether its data has changed since cannot be told: {error}")
        else:
            check_data(before, now, study, data)
    here = compute_code_version()
    if before.code_version != here:
        told.append(
            f"It was made with dgad {before.code_version}, and this is {here}: choose another --name to see"
            " what that makes of the data."
        )
    return " ".join(told)


def check_data(before: RunInfo, now: RunInfo, study: Study, data: str) -> None:
    """Raise `DataError` unless the study's data and weights are those it began with."""
    otherwise = "or begin a new study with another --name."
    kept, found = ((i.data_fingerprint, i.extra_fingerprint) for i in (before, now))
    if kept != found:
        where = data if kept[0] != found[0] else study.extra_targets
        raise DataError(
            f"The data in {where} has changed since the study `{study.name}` began"
            f"{_changed_domains(before, now)}, so its figures could not be compared: restore the data,"
            f" {otherwise}"
        )
    kept_sums = {**before.searched_weights_sha256, study.weights: before.weights_sha256}
    found_sums = {**now.searched_weights_sha256, study.weights: now.weights_sha256}
    for weights, kept_sum in kept_sums.items():
        found_sum = found_sums.get(weights, "")
        if kept_sum and kept_sum != found_sum:
            what = "has changed" if found_sum else "is gone"
            raise DataError(
                f"The weights file {weights} {what} since the study `{study.name}` began, so its figures"
                f" could not be compared: restore the file, {otherwise}"
            )


def _changed_domains(before: RunInfo, now: RunInfo) -> str:
    """Which ones, in brackets; nothing of a study that did not keep it."""
    told = list(_domain_changes(before.domain_fingerprints, now.domain_fingerprints))
    return f" ({'; '.join(told)})" if before.domain_fingerprints and told else ""


def _domain_changes(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    both = before.keys() & now.keys()
    for verb, names in (
        ("other images or masks", {n for n in both if before[n] != now[n]}),
        ("new", now.keys() - before.keys()),
        ("gone", before.keys() - now.keys()),
    ):
        if names:
            yield f"{verb}: {', '.join(f'`{n}`' for n in sorted(names))}"
