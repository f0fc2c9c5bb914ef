"""The check before any fit that every node of a cluster sees the data, the storage and the same code."""

from pathlib import Path

from cluster.connect import call_on_every_node
from dgad.errors import DataError, DgadError, UserError
from dgad.features.imagenet import IMAGENET, find_imagenet_file
from dgad.storage import Storage, probe
from tune.fits.run import Run, compute_code_version
from tune.launcher.inputs import compute_weights_sum
from tune.run_folder.layout import SHARED_FOLDER
from tune.spaces.features import choose_features
from tune.study.data import open_data

_TIMEOUT_S = 120.0


def check_nodes(run: Run) -> int:
    """Ask every node whether it sees all that a run needs; their number.

    Raises `DataError`, which names the first node that does not, and what it cannot see.
    """
    answers = call_on_every_node(_find_obstacle, run, timeout_s=_TIMEOUT_S)
    for node, answer in answers.items():
        if trouble := answer.error or answer.value:
            raise DataError(f"The node {node.address} cannot take part: {trouble}")
    return len(answers)


def _find_obstacle(run: Run) -> str:
    """Find what this node cannot see, as one sentence; empty where it sees all."""
    try:
        _check_code(run)
        probe(Storage(run.store).sibling(SHARED_FOLDER))
        _check_data(run)
        _check_weights(run)
    except DgadError as error:
        return str(error)
    return ""


def _check_code(run: Run) -> None:
    own = compute_code_version()
    if own != run.code_version:
        raise UserError(
            f"it runs dgad {own}, but the study {run.code_version}: let `dgad-tune launch --cluster` or"
            " `--address` ship the code, or install one version everywhere."
        )


def _check_data(run: Run) -> None:
    if run.study.data is None:  # the demo's is made where the study is kept
        if not Storage(run.store).is_local:
            raise DataError(
                "the demo's data is a folder of the host that runs the study: give --data, or --runs in a"
                " folder that all hosts share."
            )
        return
    try:
        seen = open_data(run.study, run.data, run.disk_cache)
        found = seen.fingerprints()
    except DataError as error:
        raise DataError(
            f"{error} Every host must see the data at {run.data}: put it on a shared file system, or pack it"
            " to a URI with `dgad domains pack`."
        ) from None
    if (found.own, found.extra) != (run.data_fingerprint, run.extra_fingerprint):
        place = run.data if found.own != run.data_fingerprint else run.study.extra_targets
        raise DataError(f"the data it sees at {place} is not the study's: bring its copy up to date.")


def _check_weights(run: Run) -> None:
    chosen = run.study.searched_features.combinations()
    studied = (run.study.features, *(choose_features(run.study.features, c) for c in chosen))
    wanted = [own for features in studied for own in features.each]
    for backbone in sorted({f.backbone for f in wanted if f.weights == IMAGENET}):
        find_imagenet_file(backbone)
    for weights in sorted({f.weights for f in wanted}):
        known = run.searched_weights_sha256.get(weights, "")
        expected = run.weights_sha256 if weights == run.study.weights else known
        if "/" in weights and not Path(weights).is_file():
            raise DataError(
                f"it has no file {weights}: put the backbone's weights where every host sees them."
            )
        if expected and expected != compute_weights_sum(weights):
            raise DataError(
                f"the weights it sees at {weights} are not the study's: bring its copy up to date."
            )
