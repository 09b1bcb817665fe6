"""How to read a report, and what it cannot say: of members drawn by coins, and of known membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.claims import secrecy, together

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_AUC = (
    "AUC is the probability that an attack scores a random member above a random decoy; 0.5 is guessing. TPR at 1% FPR "
    "is the share of members found when 1% of the decoys are wrongly called members."
)
_FID = (
    "FID and KID values compare only on the same features, the same reference images and the same number of samples. "
    "Held-out real images and noise are the two ends of their scale."
)
_STRONGER = (
    "An attack that finds nothing proves nothing: a stronger attack may find more. Zero extracted images at this "
    "number of samples does not mean zero at any number."
)
_HIGHEST = (
    "The highest value over several attacks is chosen after seeing them, and its interval is not corrected for that"
)

DRAWN = (
    "Each split flips a fair coin for every pool image. Heads: the image is a member, and the model may train on it. "
    "Tails: it is a decoy, and the model never sees it. Attacks score every pool image without seeing the coins.",
    "Extracted images are unique members that a generated image matches so closely that hardly any decoy is matched as "
    "closely. The threshold is the loosest at which (1 + decoys) / members stays within the false-discovery rate "
    "(FDR). At a rate of q, a split reports either no image or at least 1/q images. The interval reaches up to the "
    "count without that 1, so a zero states how many images it may hide. By chance, k or more members are matched more "
    "closely than any decoy in one of 2^k models (with a fair coin).",
    _AUC,
    "A control (where the suite has one) scores images without querying the model. Its AUC must be 0.5 up to chance. "
    "If it is not, the other attacks may owe their AUC to images and coins alone. A control never counts as an attack.",
    _FID,
    "A defense is called better or worse, fewer or more, lower or higher than the undefended model only where at least "
    "3 splits show it: by a paired t test, corrected for the number of strengths compared (Holm), with p < 0.05; or, "
    "if one of the two models has the same value in all splits, by intervals that do not overlap. For AUC, the test "
    "takes the highest AUC over the attacks in each split.",
    "The audited epsilon is a lower bound that the attacks prove at 95% confidence; a guarantee is an upper bound. A "
    "bound far below the guarantee says as much about the attacks and the size of the audit as about the defense. The "
    "audit guesses a number of coins that is fixed beforehand; of several numbers the best counts, corrected for that. "
    "An audit is saturated if every guess was right: a larger one could prove more. A bound that is given for μ-GDP "
    "assumes that the trade-off curve of the training is that of a Gaussian mechanism. It proves more from the same "
    "guesses, but nothing of training with another curve, and it refutes no guarantee.",
)
DRAWN_LIMITS = (
    "Intervals over splits are 95% and cover the variation between models trained on this data set in this way, not "
    "between data sets or architectures. They are pointwise: among many, some miss. With one split, an interval covers "
    "only the sampling error within that model.",
    f"{_HIGHEST}; the audited bound is.",
    "Guarantees are per training image. An image that occurs several times is covered only as a group, at the larger "
    "epsilon that the table states for its copies together. Images planted several times share one coin and are left "
    "out of the audit. Deduplication runs after the coin flips, among the members alone; the table's note says what "
    "one image stands for in a guarantee after it.",
    "“Covers” names the attackers whom a defense reaches: a change of the weights also reaches attackers who hold "
    "them. The attacks measure how far it protects against them; only a guarantee is proven.",
    _STRONGER,
    "Defenses that act at sampling do nothing against an attacker who holds the weights.",
)
KNOWN = (
    "Membership is known, not drawn by coins: members are images that the model was trained on, decoys are images that "
    "it never saw. Attacks score every image without knowing which it is. Any other difference between the two (when "
    "or how they were collected, say) counts as leakage here.",
    "No lower bound on epsilon is audited, as that needs independent fair coins.",
    "Extracted images are members that a generated image matches so closely that hardly any decoy is matched as "
    "closely. The threshold is the loosest at which (1 + decoys) / members, times the number of members per decoy, "
    "stays within the false-discovery rate (FDR). This controls the rate if members and decoys cannot be told apart "
    "without the model. With equally many of both, a rate of q reports either no image or at least 1/q images. The "
    "interval reaches up to the count without that 1, so a zero states how many images it may hide. By chance, k or "
    "more members are matched more closely than any decoy in at most p^k models, where p is the share of members in "
    "the pool.",
    _AUC,
    "The control without the model is a logistic regression on image content (levels, layout, frequencies) and another "
    "on facts of the files (format, quantisation tables, size, mode, metadata). Each is judged on images that it was "
    "not fitted on, and near copies of an image are never on both sides. Its AUC must be 0.5 up to chance. If it is "
    "not, members and decoys differ before any training, and the attacks may owe their AUC to that. If it is, the two "
    "may still differ in ways that the control does not see. A control never counts as an attack.",
    "Near copies are pairs of a member and a decoy whose small grey pictures lie nearer together than a third of the "
    "mean distance to their 50 nearest. A decoy like that was nearly trained on.",
    _FID,
)
KNOWN_LIMITS = (
    "Intervals are 95% and cover only the sampling error within this one model: other images among members and decoys, "
    "not another training of the model. They are pointwise: among many, some miss.",
    "There are no shadow models: choices that an attack would make on them are those of its source, and attacks that "
    "fit something on shadow models are left out. A stronger attack may find more.",
    f"{_HIGHEST}.",
    "How often an image occurred in the training set is not known here; extraction grows with it.",
    _STRONGER,
)


def reading(run: RunData) -> tuple[str, ...]:
    """What the numbers mean; both kinds of membership for runs merged by force."""
    known = [source.known_membership for source in run.sources]
    if all(known):
        return KNOWN
    return (*DRAWN, KNOWN[0], KNOWN[1]) if any(known) else DRAWN


def limits(run: RunData) -> tuple[str, ...]:
    """What the numbers do not say."""
    return KNOWN_LIMITS if run.known_membership else (*DRAWN_LIMITS, *secrecy(run), *together(run), *_chosen(run))


def _chosen(run: RunData) -> tuple[str, ...]:
    if not any(run.info.get("guarantees", {}).values()):
        return ()
    return ("No guarantee here accounts for parameters that were chosen by looking at several private models.",)
