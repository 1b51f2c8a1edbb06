from __future__ import annotations

import pytest

from clipprompt.errors import UserError
from clipprompt.sweep.shards import Shard, parse_shard


@pytest.mark.parametrize("n_jobs", [0, 1, 7, 24])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_parts_are_the_whole_and_share_nothing(n_jobs: int, count: int) -> None:
    jobs = list(range(n_jobs))
    parts = [Shard(number, count).of(jobs) for number in range(1, count + 1)]
    assert sorted(job for part in parts for job in part) == jobs
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["1/1", "3/8", " 8 / 8 "])
def test_a_part_is_written_as_a_fraction(text: str) -> None:
    number, count = map(int, text.split("/"))
    assert parse_shard(text) == Shard(number, count)


@pytest.mark.parametrize("text", ["9/8", "0/8", "3", "3/", "/8", "a/b", "-1/8", "1.5/2", "1/0", "3/8/9"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--shard"):
        parse_shard(text)
