"""What replicates are called where the arms of a workload took turns in several groups."""

import pytest

from harness.schema.replicates import ONE_GROUP, ReplicateNames, group_name, planned_replicates


def test_a_replicate_of_a_single_group_is_its_number() -> None:
    for names in (ONE_GROUP, ReplicateNames.of_numbers(5, range(5))):
        assert names.name(3) == "replicate 4"
        assert names.named([2, 3]) == "replicates 3 and 4"
        assert names.short(3) == "4"
        assert (names.number(3), names.group(3), names.several) == (4, None, False)
        assert names.named_with_arms(3, ["a", "b"]) == "replicate 4 of a and b"


def test_a_replicate_of_one_of_several_groups_is_named_with_its_group() -> None:
    names = ReplicateNames.of_numbers(5, [0, 1, 2, 3, 4, 50, 51, 52, 53, 54, 100])
    assert names.groups == (0, 10, 20)
    assert names.name(3) == "replicate 4 of group 1"
    assert names.name(53) == "replicate 4 of group 2"
    assert names.name(100) == "replicate 1 of group 3"
    assert names.short(53) == "4 of group 2"
    assert names.named([53, 52]) == "replicates 3 and 4 of group 2"
    assert names.named([4, 50]) == "replicate 5 of group 1 and replicate 1 of group 2"
    assert names.named_with_arms(53, ["a", "b"]) == "replicate 4 of group 2 (a, b)"


def test_many_arms_of_a_group_are_counted() -> None:
    assert group_name(1, list("abcd")) == "group 1 (a, b, c, d)"
    assert group_name(1, list("abcde")) == "group 1 (5 arms)"


@pytest.mark.parametrize(
    ("measurement", "planned"),
    [
        ({"replicates": 5, "adaptive": None}, 5),
        ({"replicates": 4, "adaptive": {"max_replicates": 12}}, 12),
        ({"replicates": "many"}, None),
        ({}, None),
        (None, None),
        ("twice", None),
    ],
)
def test_the_planned_replicates_are_those_of_the_suite(
    measurement: object, planned: int | None
) -> None:
    assert planned_replicates({"measurement": measurement}) == planned
    assert planned_replicates({}) is None
