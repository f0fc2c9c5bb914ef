"""Score one large image by anomalib's PatchCore with its tiler; started by `resolution_speed.py`.

Runs in an interpreter that has anomalib. Takes a folder with weights.safetensors (of timm's feature pyramid),
memory.safetensors (`memory`, and `mean` and `std` of the network's input) and settings.json; the image is the
same as `resolution_worker.py` draws. Prints one line of JSON.
"""

# H x W pixels

import json
import resource
import sys
import time
from pathlib import Path

import torch
from anomalib.data.utils.tiler import Tiler
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from safetensors.torch import load_file


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
    model = PatchcoreModel(
        layers=settings["layers"], backbone=settings["backbone"], pre_trained=False, num_neighbors=1
    )
    model.feature_extractor.feature_extractor.load_state_dict(load_file(folder / "weights.safetensors"))
    kept = load_file(folder / "memory.safetensors")
    model.memory_bank = kept["memory"]
    model.tiler = Tiler(tile_size=settings["tile_px"], stride=settings["tile_px"])
    model.eval()

    def score(image: torch.Tensor) -> float:
        with torch.no_grad():
            pixels = image[None].float().div(255.0)
            return float(model((pixels - kept["mean"]) / kept["std"]).pred_score)

    score(drawn(settings["warm_up_px"]))
    image = drawn(side)
    most = int((status_mib("VmSize") + settings["most_mib"]) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    idle, start, cpu = status_mib("VmRSS"), time.perf_counter(), time.process_time()
    try:
        found = score(image)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):
            raise
        print(json.dumps({"failed": f"more than {settings['most_mib']:.0f} MiB"}))
        return
    answer = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": status_mib("VmHWM") - idle,
        "score": found,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
