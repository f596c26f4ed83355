"""Heartbeats reach the listener of the block that they come from."""

from __future__ import annotations

from pipeline.progress import heartbeat, on_heartbeat


def test_heartbeats_reach_only_the_listener_of_their_block() -> None:
    heard: list[str] = []
    heartbeat()
    with on_heartbeat(lambda: heard.append("outer")):
        heartbeat()
        with on_heartbeat(lambda: heard.append("inner")):
            heartbeat()
        heartbeat()
    heartbeat()
    assert heard == ["outer", "inner", "outer"]


def test_a_listener_is_called_at_most_once_in_its_interval() -> None:
    heard: list[str] = []
    with on_heartbeat(lambda: heard.append("beat"), seconds=3600):
        for _ in range(5):
            heartbeat()
    assert heard == ["beat"]
