"""anomalib's PatchCore behind a plain FastAPI; started by `serving.py` in an interpreter that has anomalib.

Takes a folder with weights.safetensors, references/*.png and settings.json (as `anomalib_worker.py` has it,
with `image_size_px`, `mean` and `std` besides). Prints one line of JSON with its `url`. `/score` is a `def`
endpoint, which FastAPI runs in threads, `/score_async` the same in the event loop; both take one image
as the body.
"""

# N images, S pixels a side

import io
import json
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import uvicorn
from anomalib_worker import fitted
from fastapi import Depends, FastAPI, Request
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor


def main() -> None:
    """Fit the memory on the references, serve on a free port of this machine."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    size = settings["image_size_px"]
    mean, std = (torch.tensor(settings[name]).view(3, 1, 1) for name in ("mean", "std"))

    def loaded(data: bytes) -> torch.Tensor:
        """Normalised float32 (3, S, S)."""
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return (pil_to_tensor(image).float().div(255.0) - mean) / std

    references = [loaded(path.read_bytes()) for path in sorted((folder / "references").glob("*.png"))]
    model = fitted(folder, torch.stack(references))
    app = FastAPI()

    async def body(request: Request) -> bytes:
        return await request.body()

    def answer(data: bytes) -> dict[str, Any]:
        with torch.inference_mode():
            found = model(loaded(data)[None])
        return {"score": float(found.pred_score), "highest_pixel": float(found.anomaly_map.max())}

    @app.post("/score")
    def score(data: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
        return answer(data)

    @app.post("/score_async")
    async def score_async(data: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
        return answer(data)

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listening])


if __name__ == "__main__":
    main()
