"""How to read a report, and what it cannot say: sentences for runs whose membership was flipped, or was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

READING = (
    "A split flips a fair coin for every pool image: heads, it is a member, which the model may train on; tails, a "
    "decoy, which it never sees. Attacks score every pool image without seeing the coins.",
    "Extracted images are unique members that a generated image matches so well that hardly any decoy is matched as "
    "well: the threshold is the loosest at which (1 + decoys) / members stays within the false-discovery rate. At a "
    "rate of q that reports 1/q images or more, or none. The interval therefore reaches up to what the count would be "
    "without that 1, so that a zero says how many it may hide. Members matched more closely than any decoy are k or "
    "more by chance in one of 2^k models (where the coin is fair).",
    "AUC is the probability that a member scores above a decoy; 0.5 is guessing. TPR at a low FPR is the share of "
    "members found while that share of decoys is accused.",
    "Where the suite has a control, it scores images without asking the model. Its AUC must be 0.5 but for chance; "
    "where it is not, the other attacks may owe theirs to images and coins alone. It never counts as an attack.",
    "FID and KID mean something only beside the same features, reference set and number of samples; held-out real "
    "images and noise are the two ends of their scale.",
    "A finding calls a defense better, worse, fewer or more than the undefended model only where, over at least 3 "
    "splits, a paired t test corrected for the number of defenses (Holm) gives p < 0.05 or, if one of the two has the "
    "same value in all splits, the two intervals lie apart.",
    "The audited epsilon is a lower bound that the attacks prove at 95%; a guarantee is an upper bound. A bound far "
    "below the guarantee says as much about the attacks and the size of the audit as about the defense.",
)
LIMITS = (
    "Intervals over splits are 95% and cover the variation between trained models of this data set and this training, "
    "not between data sets or architectures. They are pointwise: among many, some will miss. With one split an "
    "interval covers sampling error within that model only.",
    "The highest value over several attacks is picked after seeing them, and its interval is not corrected for that; "
    "the audited bound is.",
    "Guarantees are per training image. An image that occurs several times is covered only as a group, at the larger "
    "epsilon that the table states for its copies together; images planted several times share one coin and are left "
    "out of the audit. Deduplication runs after the coins, among the members alone; a guarantee after it is for what "
    "the table's note says.",
    "Covers names the attackers whom a defense reaches: what changes the weights reaches those who hold them, too. How "
    "far it protects against them is what the attacks measure; only a guarantee is proven.",
    "The randomness of private training comes from the seeds in this run's folder, so that it can be repeated: its "
    "guarantee holds against those who have the weights and not the seeds. Choosing parameters by looking at several "
    "private runs is not accounted for.",
    "An attack that finds nothing proves nothing: a stronger one may. Zero extracted images at this number of samples "
    "is not zero at any number.",
    "Defenses that act when sampling do nothing against an attacker who holds the weights.",
)
_AUC, _FID = 2, 4  # in READING, what does not depend on where membership comes from
GIVEN = (
    "Who is a member was given, not flipped: members are images that the model was trained on, decoys images that it "
    "never saw. Attacks score every image without being told which it is. Whatever else tells the two apart (when or "
    "how they were collected, say) counts as leakage here.",
    "No lower bound on epsilon is audited, since that needs independent fair coins.",
    "Extracted images are members that a generated image matches so well that hardly any decoy is matched as well: the "
    "threshold is the loosest at which (1 + decoys) / members, times the number of members that there are to a decoy, "
    "stays within the false-discovery rate, which holds if members cannot be told from decoys without the model. With "
    "as many of both, a rate of q reports 1/q images or more, or none. The interval therefore reaches up to what the "
    "count would be without that 1, so that a zero says how many it may hide. Members matched more closely than any "
    "decoy are k or more by chance in at most p^k models, where p is the share of members in the pool.",
    READING[_AUC],
    "Where the suite has a control (v1 has), it scores images without asking the model, by how close they lie to one "
    "another. Its AUC must be 0.5 but for chance; where it is not, members and decoys differ before any training, and "
    "the other attacks may owe theirs to that. Where it is, they may still differ in what it does not look at. It "
    "never counts as an attack.",
    READING[_FID],
)
GIVEN_LIMITS = (
    "Intervals are 95% and cover sampling error within this one model only: the images that happen to be among members "
    "and decoys, not another training of the model. They are pointwise: among many, some will miss.",
    "There are no shadow models: what an attack would choose on them is as its source has it, and attacks that fit "
    "something on them are left out. A stronger attack may find more.",
    "The highest value over several attacks is picked after seeing them, and its interval is not corrected for that.",
    "How often an image was in the training set is not known here; extraction grows with it.",
    "An attack that finds nothing proves nothing: a stronger one may. Zero extracted images at this number of samples "
    "is not zero at any number.",
)


def reading(run: RunData) -> tuple[str, ...]:
    """What the numbers mean; of runs merged by force, for both kinds of membership."""
    given = [source.known_membership for source in run.sources]
    if all(given):
        return GIVEN
    return (*READING, GIVEN[0], GIVEN[1]) if any(given) else READING


def limits(run: RunData) -> tuple[str, ...]:
    """What the numbers do not say."""
    return GIVEN_LIMITS if run.known_membership else LIMITS
