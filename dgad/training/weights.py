"""The weights of a method's networks as one flat state, and back."""

from collections.abc import Mapping

from torch import Tensor, nn

from dgad.errors import DataError


def collect_state(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Copies on the CPU, as `part.name`; of a part without a name as `name`."""
    return {
        f"{_prefix(part)}{name}": tensor.detach().cpu().clone()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def load_into(parts: Mapping[str, nn.Module], state: Mapping[str, Tensor], *, method: str) -> None:
    """The inverse of `state_of`. Raises `DataError` when the tensors are not those of the parts."""
    for part, module in parts.items():
        prefix = _prefix(part)
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())  # torch's is of several lines
            raise DataError(f"The weights do not fit the settings of `{method}`: {reason}") from error


def _prefix(part: str) -> str:
    return f"{part}." if part else ""
