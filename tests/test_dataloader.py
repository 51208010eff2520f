"""Data sets, samplers, the loader: what is loaded, in which order, and that it goes on where it stopped."""
from __future__ import annotations

import json
import time
from collections import namedtuple
from collections.abc import Iterator

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    MapDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    k_fold,
    prefetch,
    random_split,
)


def numbers(n: int) -> TensorDataset:
    return TensorDataset(tg.tensor(np.arange(n)), tg.tensor(np.arange(2 * n, dtype=np.float32).reshape(n, 2)))


def seeded(seed: int) -> tg.Generator:
    return tg.Generator().manual_seed(seed)


class Squares(Dataset):
    """Not a TensorDataset: items go through default_collate."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, i: int) -> tuple[int, tg.Tensor]:
        if not 0 <= i < 11:
            raise IndexError(i)
        return i, tg.tensor([i * i, -i])


def flat(loader: DataLoader) -> list[int]:
    return [i for batch in loader for i in batch[0].tolist()]


# ---------------------------------------------------------------- data sets


def test_tensor_dataset() -> None:
    data = numbers(5)
    assert len(data) == 5
    assert data[3][1].tolist() == [6, 7]
    a, b = data.batch([4, 0])
    assert a.tolist() == [4, 0]
    assert b.tolist() == [[8, 9], [0, 1]]
    with pytest.raises(ValueError, match="tensor 0 has 5 rows but tensor 1 has 4"):
        TensorDataset(tg.zeros(5), tg.zeros(4))
    with pytest.raises(TypeError, match="argument 1 must be a Tensor"):
        TensorDataset(tg.zeros(5), np.zeros(5))


def test_batches_of_tracked_tensors_carry_gradients() -> None:
    w = tg.zeros(4, 2, requires_grad=True)
    (batch,) = TensorDataset(w).batch([1, 1, 3])
    batch.sum().backward()
    assert w.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


def test_subset_and_concat() -> None:
    data = numbers(6)
    both = Subset(data, [5, 1]) + Squares()
    assert len(both) == 13
    assert [both[i][0] for i in (2, 12, -13)] == [0, 10, 5]
    with pytest.raises(IndexError, match="index 13 is out of range for 13 items"):
        both[13]
    with pytest.raises(ValueError, match="at least one data set"):
        ConcatDataset([])
    assert flat(DataLoader(Subset(data, [5, 1, 3]), 2)) == [5, 1, 3]


def test_random_split() -> None:
    parts = random_split(numbers(10), [0.5, 0.25, 0.25], seeded(1))
    assert [len(p) for p in parts] == [6, 2, 2]
    assert sorted(p[i][0].item() for p in parts for i in range(len(p))) == list(range(10))
    again = random_split(numbers(10), [5, 5], seeded(1))
    assert list(again[0].indices) == list(random_split(numbers(10), [5, 5], seeded(1))[0].indices)
    with pytest.raises(ValueError, match="sum to 9 but the data set has 10"):
        random_split(numbers(10), [5, 4])


# ---------------------------------------------------------------- samplers


def test_samplers() -> None:
    data = numbers(7)
    assert list(SequentialSampler(data)) == list(range(7))
    order = list(RandomSampler(data, generator=seeded(0)))
    assert sorted(order) == list(range(7))
    assert order != list(range(7))
    assert len(set(RandomSampler(data, num_samples=5, generator=seeded(0)))) == 5
    assert len(list(RandomSampler(data, num_samples=20))) == 20
    assert set(RandomSampler(data, replacement=True, num_samples=400)) == set(range(7))
    assert sorted(SubsetRandomSampler([2, 9, 4])) == [2, 4, 9]
    assert list(BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="batch_size must be a positive int, got 0"):
        BatchSampler(range(5), 0, False)


def test_random_order_is_uniform() -> None:
    first = np.zeros(5)
    g = seeded(3)
    for _ in range(2000):
        first[next(iter(RandomSampler(range(5), generator=g)))] += 1
    assert abs(first - 400).max() < 80  # four and a half standard deviations


def test_weighted_sampler() -> None:
    weights = [0.0, 1.0, 3.0, 0.0]
    drawn = np.bincount(list(WeightedRandomSampler(weights, 4000, generator=seeded(0))), minlength=4)
    assert drawn[0] == drawn[3] == 0
    assert abs(drawn[2] - 3000) < 130
    assert sorted(WeightedRandomSampler(weights, 2, replacement=False)) == [1, 2]
    with pytest.raises(ValueError, match="only 2 weights are above zero"):
        WeightedRandomSampler(weights, 3, replacement=False)
    with pytest.raises(ValueError, match="none negative"):
        WeightedRandomSampler([1.0, float("nan")], 3)


# ---------------------------------------------------------------- the loader


@pytest.mark.parametrize("workers", [0, 3])
def test_loader_batches(workers: int) -> None:
    batches = list(DataLoader(Squares(), 4, num_workers=workers))
    assert [b[0].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert batches[1][1].tolist()[1] == [25, -5]
    assert batches[0][0].dtype is tg.int64
    assert len(DataLoader(Squares(), 4)) == 3
    assert len(DataLoader(Squares(), 4, drop_last=True)) == len(list(DataLoader(Squares(), 4, drop_last=True))) == 2
    assert [i for i, _ in DataLoader(Squares(), None, num_workers=workers)] == list(range(11))


@pytest.mark.parametrize("workers", [0, 2])
def test_seeded_shuffle_repeats_and_does_not_depend_on_workers(workers: int) -> None:
    loader = DataLoader(numbers(20), 3, shuffle=True, generator=seeded(5), num_workers=workers)
    reference = DataLoader(numbers(20), 3, shuffle=True, generator=seeded(5))
    first, second = flat(loader), flat(loader)
    assert sorted(first) == list(range(20))
    assert first != second
    assert [flat(reference), flat(reference)] == [first, second]


def test_loader_options() -> None:
    data = numbers(6)
    assert flat(DataLoader(data, 2, sampler=[3, 1, 4])) == [3, 1, 4]
    assert [b[0].tolist() for b in DataLoader(data, batch_sampler=[[0, 5], [2]])] == [[0, 5], [2]]
    assert list(DataLoader(data, 3, collate_fn=len)) == [3, 3]
    started: list[int] = []
    list(DataLoader(data, 1, num_workers=2, worker_init_fn=started.append, pin_memory=True, persistent_workers=True))
    assert set(started) <= {0, 1}
    assert started
    assert list(DataLoader(numbers(0), 4)) == []
    for wrong, words in (
        ({"sampler": [1], "shuffle": True}, "a sampler decides the order"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "a batch_sampler decides the batches"),
        ({"batch_size": 0}, "batch_size must be a positive int"),
        ({"num_workers": -1}, "must not be negative"),
        ({"prefetch_factor": 2}, "set num_workers"),
        ({"multiprocessing_context": "fork"}, "workers are threads"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs batches"),
    ):
        with pytest.raises(ValueError, match=words):
            DataLoader(data, **wrong)
    with pytest.raises(TypeError, match="a generator has no items"):
        DataLoader(x for x in [1])


def test_worker_errors_and_timeouts_reach_the_caller() -> None:
    class Bad(Squares):
        def __getitem__(self, i: int) -> tuple[int, tg.Tensor]:
            if i == 5:
                raise KeyError("item five")
            return super().__getitem__(i)

    with pytest.raises(KeyError, match="item five"):
        list(DataLoader(Bad(), 2, num_workers=2))

    class Slow(Squares):
        def __getitem__(self, i: int) -> tuple[int, tg.Tensor]:
            time.sleep(0.3)
            return super().__getitem__(i)

    with pytest.raises(RuntimeError, match=r"no batch within the timeout of 0\.05 s"):
        next(iter(DataLoader(Slow(), 1, num_workers=1, timeout=0.05)))


def test_default_collate() -> None:
    Point = namedtuple("Point", "x y")
    batch = default_collate([{"a": Point(1, 2.5), "b": [np.float32(3), "s"], "c": np.ones(2)}] * 2)
    assert batch["a"].x.tolist() == [1, 1]
    assert batch["a"].y.dtype is tg.float64
    assert batch["b"][1] == ["s", "s"]
    assert batch["b"][0].dtype is tg.float32
    assert tuple(batch["c"].shape) == (2, 2)
    with pytest.raises(RuntimeError, match=r"item 0 has shape \(2,\) but item 1 has \(3,\)"):
        default_collate([tg.zeros(2), tg.zeros(3)])
    with pytest.raises(TypeError, match="cannot make a batch of object"):
        default_collate([object()])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_loader_resumes_at_the_batch(own: bool, workers: int) -> None:
    """Whatever is drawn between batches: a resumed epoch has the batches, and leaves the generators, of an uninterrupted one."""

    def run(resume_after: int | None) -> tuple:
        tg.manual_seed(9)

        def make() -> DataLoader:
            return DataLoader(numbers(23), 4, shuffle=True, generator=seeded(2) if own else None, num_workers=workers)

        loader, seen = make(), []
        flat(loader)
        for k, batch in enumerate(loader, 1):
            seen.append(batch[0].tolist())
            tg.random.default_generator.bits(3)  # as dropout would
            if k == resume_after:
                break
        if resume_after is not None:
            state = json.loads(json.dumps([loader.state_dict(), tg.get_rng_state()]))
            tg.manual_seed(777)
            loader = make()
            tg.set_rng_state(tuple(state[1]))
            loader.load_state_dict(state[0])
            for batch in loader:
                seen.append(batch[0].tolist())
                tg.random.default_generator.bits(3)
        return seen, flat(loader), tg.get_rng_state()

    whole = run(None)
    for k in (1, 3, 6):
        assert run(k) == whole


def test_loader_state_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="another generator"):
        DataLoader(numbers(3), shuffle=True).load_state_dict(DataLoader(numbers(3), shuffle=True, generator=seeded(1)).state_dict())


def test_torch_paths() -> None:
    import tensorgrad.utils.data.dataloader
    import tensorgrad.utils.data.dataset
    import tensorgrad.utils.data.sampler

    assert tg.utils.data.DataLoader is tensorgrad.utils.data.dataloader.DataLoader is DataLoader
    assert tensorgrad.utils.data.dataset.Dataset is Dataset
    assert tensorgrad.utils.data.sampler.RandomSampler is RandomSampler


def test_k_fold() -> None:
    data = TensorDataset(tg.arange(23))
    folds = k_fold(data, 4, generator=tg.Generator().manual_seed(0))
    assert sorted(i for _, val in folds for i in val.indices) == list(range(23))
    for train, val in folds:
        assert sorted([*train.indices, *val.indices]) == list(range(23))
        assert len(val) in (5, 6)
        assert [int(row[0]) for row in (val[i] for i in range(len(val)))] == list(val.indices)
    again = k_fold(data, 4, generator=tg.Generator().manual_seed(0))
    other = k_fold(data, 4, generator=tg.Generator().manual_seed(1))
    assert [val.indices for _, val in again] == [val.indices for _, val in folds] != [val.indices for _, val in other]
    labels = [0] * 12 + [1] * 8 + [2] * 3
    for _, val in k_fold(data, 4, labels):
        counts = np.bincount(np.array(labels)[val.indices], minlength=3)
        assert counts[0] == 3
        assert counts[1] == 2
        assert counts[2] <= 1
    for bad in (1, 24, 2.5):
        with pytest.raises(ValueError, match="k must be an int from 2 to the 23 items"):
            k_fold(data, bad)
    with pytest.raises(ValueError, match="one for each of the 23 items"):
        k_fold(data, 2, [1, 2])


@pytest.mark.parametrize("workers", [0, 2])
def test_iterable_data(workers: int) -> None:
    class Lines(IterableDataset):
        def __iter__(self) -> Iterator[int]:
            return iter(range(7))

    assert [b.tolist() for b in DataLoader(Lines(), 3, num_workers=workers)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b.tolist() for b in DataLoader(Lines(), 3, drop_last=True, num_workers=workers)] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(ChainDataset([Lines(), Lines()]), None, num_workers=workers)) == [*range(7), *range(7)]
    loader = DataLoader(Lines(), 2, num_workers=workers)
    it = iter(loader)
    next(it)
    other = DataLoader(Lines(), 2)
    other.load_state_dict(loader.state_dict())
    assert [b.tolist() for b in other] == [[2, 3], [4, 5], [6]]
    with pytest.raises(ValueError, match="has an order of its own"):
        DataLoader(Lines(), 2, shuffle=True)
    with pytest.raises(TypeError):
        len(loader)


def test_map_data() -> None:
    squares = MapDataset(range(4), lambda i: i * i)
    assert [squares[i] for i in range(len(squares))] == [0, 1, 4, 9]
    assert DataLoader(squares, 4).__iter__().__next__().tolist() == [0, 1, 4, 9]


def test_prefetch_keeps_batches_and_order() -> None:
    batches = [({"x": tg.ones(2) * i, "name": "a"}, (i, [tg.zeros(1)])) for i in range(3)]
    got = list(prefetch(batches, "emu"))
    assert [b[0]["x"].tolist() for b in got] == [[0, 0], [1, 1], [2, 2]]
    assert all(b[0]["x"].device.type == b[1][1][0].device.type == "emu" and b[0]["name"] == "a" for b in got)
    assert list(prefetch([], "cpu")) == []


def test_a_thread_draws_from_the_generator_it_was_given() -> None:
    own = tg.Generator().manual_seed(3)
    before = tg.random.get_rng_state()
    with tg.random.drawing_from(own):
        inner = tg.rand(3)
        with tg.random.drawing_from(tg.Generator().manual_seed(4)):
            tg.rand(1)
        tg.rand(1)
    assert tg.random.get_rng_state() == before
    assert inner.tolist() == tg.rand(3, generator=tg.Generator().manual_seed(3)).tolist()
    tg.rand(1)
    assert tg.random.get_rng_state() != before
