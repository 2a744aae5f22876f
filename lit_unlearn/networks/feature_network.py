"""A pretrained vision network of transformers as the space in which pictures are compared."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.errors import UserError


class FeatureNetwork:
    """Features of pictures by a vision model in a folder (ViT, DINOv2, CLIP's vision part, ConvNeXt, ...).

    The features are the model's pooled output; pictures are resized to the model's size (bilinear, antialiased), grey
    ones repeated in three channels, and normalised as the folder's preprocessor_config.json has it.

    Args:
        path: folder with config.json, safetensors weights and preprocessor_config.json.
        device: where to compute.

    Raises:
        UserError: the folder holds no such model.
    """

    def __init__(self, path: str, device: torch.device):
        import transformers

        folder = Path(path).expanduser()
        try:
            processing = json.loads((folder / "preprocessor_config.json").read_text())
            self.model: Any = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
            self.side = int(self.model.config.image_size)
            self.mean, self.std = (
                torch.tensor(processing[key], device=device).view(1, 3, 1, 1) for key in ("image_mean", "image_std")
            )
        except (OSError, ValueError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"data.feature_network={path}: no vision model of transformers ({reason}); give a folder with its "
                "config.json, safetensors and preprocessor_config.json"
            ) from error
        self.model.to(device).eval().requires_grad_(False)
        self.name = f"{self.model.config.model_type} in {path}"

    @torch.no_grad()
    def __call__(self, x: Tensor, batch_size: int = 100) -> Tensor:
        """(N, C, H, W) in [-1, 1] to (N, d) float32 on the CPU."""
        parts = []
        for pictures in x.split(batch_size):
            scaled = F.interpolate(
                (pictures.to(self.mean) + 1) / 2, size=(self.side, self.side), mode="bilinear", antialias=True
            )
            parts.append(self.model((scaled.expand(-1, 3, -1, -1) - self.mean) / self.std).pooler_output.float().cpu())
        return torch.cat(parts)
