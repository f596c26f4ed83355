"""Nothing grows with the number of blocks; `benchmarks/scale.py` measures it at a hundred thousand tile-years."""

from __future__ import annotations

import pytest
from distributed import Client, LocalCluster

from pipeline.cluster.dask import OnDask


@pytest.mark.slow
def test_a_scheduler_keeps_nothing_of_items_that_have_ended() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        spans = cluster.scheduler.extensions["spans"].spans

        def kept() -> int:
            return len(spans) + sum(len(span.groups) for span in spans.values()) + len(cluster.scheduler.tasks)

        with Client(cluster) as client:
            executor = OnDask(lambda: client)
            counts = []
            for _ in executor.map(str, range(60)):
                counts.append(kept())
    assert len(counts) == 60
    assert max(counts[30:]) <= max(counts[:30])
