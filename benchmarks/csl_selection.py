"""CSL's closed form against the SVD of all pixels: time and differing masks.

python -m benchmarks.csl_selection [--repeats 10]
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.csl_by_svd import select_by_svd
from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from reliability.lookup import build_method
from reliability.selection import RELIABLE_WEIGHT, PixelSelection, SelectionInputs

SIZES = {"camvid_11_classes": (4, 11, 360, 480), "voc_21_classes": (2, 21, 512, 512)}


def segmentation_like(shape: tuple[int, int, int, int], seed: int) -> Tensor:
    """Probabilities with flat sure areas, soft borders and a little noise."""
    images, classes, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, classes, height // 40, width // 40, generator=generator)
    logits = 6 * functional.interpolate(coarse, (height, width), mode="bilinear")
    return torch.softmax(logits + 0.5 * torch.randn(logits.shape, generator=generator), dim=1)


def differences(selection: PixelSelection, probabilities: Tensor, valid: Tensor) -> dict[str, int]:
    """Pixels whose verdict differs from the SVD's, in the precision training uses and in float64."""
    counts = {"valid_pixels": int(valid.sum())}
    for dtype in (torch.float32, torch.float64):
        weight, label = select_by_svd(probabilities, valid, dtype=dtype)
        precision = str(dtype).removeprefix("torch.")
        counts[f"differing_reliable_pixels_svd_{precision}"] = int(
            ((weight > RELIABLE_WEIGHT) != selection.reliable).sum()
        )
    counts["differing_labels"] = int((label != selection.pseudo_label).sum())
    return counts


def run(size_name: str, repeats: int) -> Comparison:
    """Compare both routes on one size."""
    probabilities = segmentation_like(SIZES[size_name], seed=0)
    valid = torch.ones(probabilities.shape[0], *probabilities.shape[2:], dtype=torch.bool)
    valid[:, :, -20:] = False
    method = build_method("csl")
    inputs = SelectionInputs(probabilities, valid)
    facts = {
        "shape_nchw": list(probabilities.shape),
        "threads": torch.get_num_threads(),
        **differences(method(inputs), probabilities, valid),
    }
    variants = {"svd": lambda: select_by_svd(probabilities, valid), "closed_form": lambda: method(inputs)}
    return compare(f"csl_selection_{size_name}", variants, repeats=repeats, baseline="svd", facts=facts)


def main() -> None:
    """Run all sizes, print the tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="turns per size (default 10)")
    repeats = parser.parse_args().repeats
    for size_name in SIZES:
        comparison = run(size_name, repeats)
        show(comparison)
        print(f"  written: {write_result(comparison, RESULTS_FOLDER).name}")


if __name__ == "__main__":
    main()
