"""The names of a UNet's layers in the code of Stable Diffusion's authors, which kohya's scripts write for SDXL."""

from __future__ import annotations

import re

ALONE = {
    "input_blocks_0_0": "conv_in", "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2",
}  # fmt: skip
OF_RESNET = {"in_layers_2": "conv1", "emb_layers_1": "time_emb_proj", "out_layers_3": "conv2",
             "skip_connection": "conv_shortcut"}  # fmt: skip
MIDDLE = ("resnets_0", "attentions_0", "resnets_1")


def in_diffusers_names(name: str, layers: int) -> str:
    """The name of a layer in diffusers' UNet2DConditionModel with `layers` layers a block, from that in the other code.

    Both have an underscore in place of every dot: "input_blocks_4_1_proj_in" is "down_blocks_1_attentions_0_proj_in"
    with 2 layers. A name that is none of that code stays as it is.
    """
    if name in ALONE:
        return ALONE[name]
    if found := re.fullmatch(r"middle_block_([012])_(.+)", name):
        return f"mid_block_{MIDDLE[int(found[1])]}_{OF_RESNET.get(found[2], found[2])}"
    if not (found := re.fullmatch(r"(input|output)_blocks_(\d{1,3})_([012])_(.+)", name)):
        return name
    down, number, place, rest = found[1] == "input", int(found[2]), int(found[3]), found[4]
    block, layer = divmod(number - 1 if down else number, layers + 1)
    side = f"{'down' if down else 'up'}_blocks_{block}"
    if rest in ("op", "conv"):
        return f"{side}_{'downsamplers' if down else 'upsamplers'}_0_conv"
    kind = "attentions" if place else "resnets"
    return f"{side}_{kind}_{layer}_{OF_RESNET.get(rest, rest)}"
