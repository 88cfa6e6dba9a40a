"""`FaceAnalyzer` as a Ray Serve deployment: `pip install ".[ray]" "ray[serve]"`, then `serve run deploy.serve:app`.

Send the bytes of an image, get `Analysis.to_dict()`:

    curl --data-binary @photo.jpg http://127.0.0.1:8000/
"""

from __future__ import annotations

from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from facemodels import FaceAnalyzer


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=32)
class Faces:
    """One analyzer per replica; requests that wait share its batches."""

    def __init__(self) -> None:
        self._analyzer = FaceAnalyzer(threads=1)
        self._analyzer.warmup()

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.005)
    async def analyze(self, images: list[bytes]) -> list[dict[str, Any]]:
        """The analyses of images that came together."""
        return [analysis.to_dict() for analysis in self._analyzer.analyze_batch(images)]

    async def __call__(self, request: Request) -> JSONResponse:
        """Answer a request: 422 for what is no image."""
        answer = await self.analyze(await request.body())
        return JSONResponse(answer, 422 if answer["error"] else 200)


app = Faces.bind()
