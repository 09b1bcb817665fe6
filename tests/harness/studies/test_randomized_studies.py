"""The studies of copies, labels and accuracy train what they ask about, and no model twice."""

from __future__ import annotations

from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.told_labels import check_told_labels
from leakfront.harness.plan.trainings import longest_of, models_of
from leakfront.harness.studies.load import check_models, load_study
from leakfront.results.run.rows import AUC_BY_COPIES, EXTRACTED_BY_COPIES


def plans_of(name: str) -> dict[str, Plan]:
    study = load_study(f"studies/{name}")
    plans = {arm: make_plan(config) for arm, config in study.arms.items()}
    check_models(study.study, plans)
    for plan in plans.values():
        check_told_labels(plan)
    return plans


def trainings(plans: dict[str, Plan]) -> int:
    return len({model.key for plan in plans.values() for model in longest_of(models_of(plan))})


def test_one_training_a_split_compares_all_numbers_of_copies() -> None:
    plans = plans_of("duplicates")
    assert (len(plans), trainings(plans)) == (1, 3)
    planted = plans["run"].config.data.duplicates
    assert planted.of_levels == dict.fromkeys((1, 2, 4, 8, 16, 32), 16)
    asked = {
        question.effect.get("measure", {}).get("metric")
        for question in load_study("studies/duplicates").study.questions
    }
    assert asked == {None, AUC_BY_COPIES, EXTRACTED_BY_COPIES}


def test_arms_that_differ_in_labels_share_the_pool_and_no_model() -> None:
    plans = plans_of("conditioning")
    assert {plan.config.data.labels for plan in plans.values()} == {"none", "class", "random", "unique"}
    assert (trainings(plans), len({plan.keys["pool"] for plan in plans.values()})) == (20, 1)


def test_the_checkpoints_of_accuracy_are_of_one_training_a_split() -> None:
    plans = plans_of("accuracy")
    assert (len(plans["run"].cells), trainings(plans)) == (30, 5)
