import torch

from reliability.feature_memory import FeatureMemory, prototypes, random_pixels


def batch(*values: float, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """One process's rows of one feature for one class; the rest of the fixed shape does not count."""
    filled = torch.full((1, 1, rows, 1), -99.0)
    filled[0, 0, : len(values), 0] = torch.tensor(values)
    return filled, (torch.arange(rows) < len(values)).view(1, 1, rows)


def memory_of(*batches: tuple[float, ...], length: int = 3) -> FeatureMemory:
    memory = FeatureMemory(num_classes=1, rows_per_class=length, num_features=1)
    for values in batches:
        memory.push(*batch(*values))
    return memory


def test_the_newest_batch_comes_first_in_its_own_order():
    assert memory_of((1.0,), (2.0, 3.0)).rows.flatten().tolist() == [2.0, 3.0, 1.0]


def test_the_oldest_rows_are_forgotten():
    assert memory_of((1.0, 2.0), (3.0, 4.0)).rows.flatten().tolist() == [3.0, 4.0, 1.0]


def test_rows_that_do_not_count_are_not_kept():
    memory = memory_of((1.0,), ())
    assert (memory.rows.flatten().tolist(), memory.count.tolist()) == ([1.0, 0.0, 0.0], [1])


def test_a_batch_longer_than_the_memory_fills_it_alone():
    memory = memory_of((1.0,), length=2)
    memory.push(*batch(5.0, 6.0, 7.0, rows=4))
    assert memory.rows.flatten().tolist() == [5.0, 6.0]


def test_rows_of_two_processes_are_taken_one_process_after_the_other():
    together, apart = memory_of((9.0,)), memory_of((9.0,), (1.0,), (2.0, 3.0))
    (first, is_first), (second, is_second) = batch(1.0), batch(2.0, 3.0)
    together.push(torch.cat([first, second]), torch.cat([is_first, is_second]))
    assert torch.equal(together.rows, apart.rows)


def test_a_prototype_is_the_mean_of_labeled_and_unlabeled_rows():
    mean, _ = prototypes(memory_of((1.0, 2.0)), memory_of((6.0,)))
    assert mean.tolist() == [[3.0]]


def test_a_class_without_labeled_rows_has_no_prototype():
    assert prototypes(memory_of(), memory_of((6.0,)))[1].tolist() == [False]


def chosen(class_id: list[int], trusted: list[bool], per_class: int) -> list[set[int]]:
    pixel, is_pixel = random_pixels(torch.tensor(class_id), torch.tensor(trusted), 3, per_class)
    assert pixel.shape == is_pixel.shape == (3, per_class)
    return [set(row[mask].tolist()) for row, mask in zip(pixel, is_pixel, strict=True)]


def test_all_pixels_of_a_small_class_are_chosen():
    assert chosen([0, 2, 0, 2, 2], [True] * 5, 3) == [{0, 2}, set(), {1, 3, 4}]


def test_pixels_that_are_not_trusted_are_never_chosen():
    assert chosen([0, 2, 0, 2, 2], [True, False, False, True, False], 5) == [{0}, set(), {3}]


def test_of_a_large_class_no_pixel_is_chosen_twice():
    assert len(chosen([1] * 100, [True] * 100, 7)[1]) == 7


def test_the_choice_is_random():
    assert len({frozenset(chosen([1] * 100, [True] * 100, 3)[1]) for _ in range(20)}) > 10
