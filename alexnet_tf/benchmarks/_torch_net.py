"""AlexNet in PyTorch, as fast as its users make it: run by a Python that has PyTorch.

Prints JSON: images/s of whole updates, on a GPU eager and compiled, float32 (TF32) and bfloat16,
with and without response normalisation, at two batch sizes; without a GPU eager in float32 on the
CPU, at batch 128. Imports nothing of this project.
"""

from __future__ import annotations

import json
import statistics
import time

# (batch, normalisation, channels_last, bfloat16, compiled)
CASES = (
    (128, True, False, False, False),
    (128, True, True, False, True),
    (128, True, True, True, True),
    (128, False, True, True, True),
    (1024, True, True, False, True),
    (1024, True, True, True, True),
    (1024, False, True, True, True),
)
# The one that a CPU measures.
CPU_CASE = (128, True, False, False, False)


def network(normalised: bool):  # noqa: ANN201
    """The paper's two-column network with grouped convolutions."""
    from torch import nn

    def norm():
        # PyTorch divides alpha by the window's size.
        return nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0) if normalised else nn.Identity()

    def conv(inputs: int, outputs: int, size: int, **settings: int):
        return [nn.Conv2d(inputs, outputs, size, **settings), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *conv(3, 96, 11, stride=4),
        norm(),
        nn.MaxPool2d(3, 2),
        *conv(96, 256, 5, padding=2, groups=2),
        norm(),
        nn.MaxPool2d(3, 2),
        *conv(256, 384, 3, padding=1),
        *conv(384, 384, 3, padding=1, groups=2),
        *conv(384, 256, 3, padding=1, groups=2),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        *(nn.Linear(9216, 4096), nn.ReLU(inplace=True), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout()),
        nn.Linear(4096, 1000),
    )


def speed(batch: int, normalised: bool, last: bool, bfloat16: bool, compiled: bool) -> float:
    """Images/s: the median of three blocks of 60 updates, on a CPU of two."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    model = network(normalised).to(device)
    pixels = torch.randint(0, 256, (batch, 3, 227, 227), dtype=torch.uint8, device=device)
    if last:
        model = model.to(memory_format=torch.channels_last)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch,), device=device)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, fused=True
    )
    forward = torch.compile(model) if compiled else model

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
            loss = functional.cross_entropy(forward(pixels.float() - 120.0), labels)
        loss.backward()
        optimizer.step()

    def finish() -> None:
        if gpu:
            torch.cuda.synchronize()

    rates = []
    warm_up, steps = (8, 60) if gpu else (1, 2)
    for block in range(4):
        finish()
        began = time.perf_counter()
        for _ in range(steps if block else warm_up):
            update()
        finish()
        if block:
            rates.append(steps * batch / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    """Measures all cases."""
    import torch

    gpu = torch.cuda.is_available()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    rows = []
    for case in CASES if gpu else (CPU_CASE,):
        batch, normalised, _, bfloat16, compiled = case
        words = [
            f"batch {batch}",
            "compiled" if compiled else "eager",
            "bfloat16" if bfloat16 else "TF32" if gpu else "float32",
            "" if normalised else "no LRN",
        ]
        name = " ".join(word for word in words if word)
        rows.append({"name": name, "images_per_second": round(speed(*case), 1)})
    device = torch.cuda.get_device_name() if gpu else None
    print(json.dumps({"pytorch": torch.__version__, "gpu": device, "rows": rows}))


if __name__ == "__main__":
    main()
