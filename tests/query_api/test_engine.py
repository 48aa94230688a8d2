"""Questions in the store's threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager

import pytest

from apimetry.query_api.engine import Engine
from apimetry.query_api.settings import QuerySettings
from apimetry.store.client import Store

THREADS = 2


@pytest.fixture
def store(tmp_path):
    store = Store(f"chdb://{tmp_path}/store", threads=THREADS)
    store.open()
    yield store
    store.close()


@asynccontextmanager
async def busy(engine):
    """All threads have a question, until the block is left."""
    begun, end = threading.Barrier(THREADS + 1), threading.Event()

    def hold(_number):
        begun.wait(10)
        end.wait(10)

    held = [asyncio.create_task(engine.answer(hold, number)) for number in range(THREADS)]
    await asyncio.to_thread(begun.wait, 10)
    try:
        yield
    finally:
        end.set()
        await asyncio.gather(*held)


async def until_under_way(engine, questions):
    """A question is under way some turns of the loop after its task was made."""
    for _ in range(9):
        if engine.under_way == questions:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{engine.under_way} questions are under way, not {questions}")


async def test_the_same_question_that_waits_already_is_asked_once(store):
    engine, numbers = Engine(store, QuerySettings()), itertools.count()

    def question(name):
        return name, next(numbers)

    async with busy(engine):
        asked = [asyncio.create_task(engine.answer_once(question, name)) for name in ("a", "b", "a", "a", "b")]
        await until_under_way(engine, THREADS + 2)
    answers = await asyncio.gather(*asked)
    assert answers[0] == answers[2] == answers[3]
    assert answers[1] == answers[4]
    assert {name for name, _ in answers} == {"a", "b"}
    assert next(numbers) == 2
    assert engine.under_way == 0


async def test_a_question_that_has_begun_is_asked_again(store):
    engine = Engine(store, QuerySettings())
    numbers, begun, end = itertools.count(), threading.Semaphore(0), threading.Event()

    def question():
        number = next(numbers)
        begun.release()
        end.wait(10)
        return number

    first = asyncio.create_task(engine.answer_once(question))
    await asyncio.to_thread(begun.acquire)
    second = asyncio.create_task(engine.answer_once(question))
    await asyncio.to_thread(begun.acquire)
    end.set()
    assert [await first, await second] == [0, 1]


async def test_a_question_begins_unless_all_who_asked_it_have_left(store):
    engine, asked = Engine(store, QuerySettings()), []
    async with busy(engine):
        tasks = {
            (name, number): asyncio.create_task(engine.answer_once(asked.append, name))
            for name in ("left", "kept")
            for number in range(2)
        }
        await until_under_way(engine, THREADS + 2)
        for gone in (("left", 0), ("left", 1), ("kept", 0)):
            tasks[gone].cancel()
        await asyncio.wait([tasks["left", 0], tasks["left", 1], tasks["kept", 0]])
        again = asyncio.create_task(engine.answer_once(asked.append, "kept"))
        await asyncio.sleep(0)
    await asyncio.gather(tasks["kept", 1], again)
    assert asked == ["kept"]
    assert engine.under_way == 0


async def test_all_who_asked_get_the_error(store):
    engine = Engine(store, QuerySettings())

    def question():
        raise ValueError("no")

    async with busy(engine):
        asked = [asyncio.create_task(engine.answer_once(question)) for _ in range(3)]
        await asyncio.sleep(0)
    assert [str(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == ["no"] * 3
