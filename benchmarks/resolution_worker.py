"""Score one large image by dgad's PatchCore; started by `resolution_speed.py`.

Takes a folder with memory.safetensors and settings.json. Prints one line of JSON.
"""

# H x W pixels

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from dgad.domains.image_set import ImageSet
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context, Enrolled
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings


def status_mib(name: str) -> float:
    """A line of the process's status, in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0]) / 1024


def drawn(side: int) -> torch.Tensor:
    """A uint8 image (3, H, W)."""
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)


def main() -> None:
    """Warm up, then score once."""
    folder, side = Path(sys.argv[1]), int(sys.argv[2])
    settings = json.loads((folder / "settings.json").read_text())
    torch.set_num_threads(settings["num_threads"])
    features = FeatureSettings(backbone=settings["backbone"], weights=settings["weights"], scale="native")
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache(0))
    method = PatchcoreMethod(PatchcoreSettings(num_neighbours=1), context)
    memory = {"memory": load_file(folder / "memory.safetensors")["memory"]}
    enrolled = Enrolled(method=method.name, num_references=1, tensors=memory)

    def score(image: torch.Tensor) -> float:
        return float(method.score(ImageSet(images=[image]), enrolled).image[0])

    score(drawn(settings["warm_up_px"]))
    image = drawn(side)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    idle, start, cpu = status_mib("VmRSS"), time.perf_counter(), time.process_time()
    found = score(image)
    answer = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": status_mib("VmHWM") - idle,
        "score": found,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
