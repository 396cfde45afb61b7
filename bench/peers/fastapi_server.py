"""A peer over HTTP: PyTorch behind FastAPI and uvicorn, with a loop for each request, as it is usually written.

    python -m bench.peers.fastapi_server --weights weights.npz --port 8000

One step per call, batch 1, an event for each character; Starlette runs the loops in its thread pool.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from bench.peers.network import RESERVED, TorchNetwork, draw


class Body(BaseModel):
    """The fields of a request."""

    prompt: str = ""
    length: int = 500
    seed: int = 0


def create_app(network: TorchNetwork) -> FastAPI:
    """The peer's routes."""
    app = FastAPI()

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/generate")
    def generate(body: Body) -> StreamingResponse:
        return StreamingResponse(events(network, body), media_type="text/event-stream")

    return app


def events(network: TorchNetwork, body: Body) -> Iterator[str]:
    """An event for each character, and one at the end."""
    generator = torch.Generator().manual_seed(body.seed)
    prompt = torch.tensor([RESERVED, *network.encode(body.prompt)])
    logits, state = network.read(prompt[:, None], None)
    text = ""
    for index in range(body.length):
        symbols, logprobs = draw(logits[-1], generator)
        character = network.characters[int(symbols)]
        text += character
        yield _event({"index": index, "text": character, "logprob": round(float(logprobs), 6)})
        if index < body.length - 1:
            logits, state = network.read(symbols[None], state)
    yield _event({"finish_reason": "length", "text": text, "seed": body.seed})


def _event(fields: dict[str, object]) -> str:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n"


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the requests are the threads
    network = TorchNetwork(arguments.weights)
    network.choose_kernels(rows=1)
    uvicorn.run(create_app(network), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
