"""Questions in the store's threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import asynccontextmanager

import pytest

from apimetry.query_api.engine import Engine
from apimetry.query_api.queueing.askers import Client, ClientLeft
from apimetry.query_api.queueing.fair_queue import Asker
from apimetry.query_api.settings import QuerySettings
from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.statement import Statement
from tests.support.oracles.event_rows import encode_row

THREADS = 2
KEY, ANOTHER_KEY = Asker("ours", "one"), Asker("ours", "two")


def client(asker=KEY, has_left=lambda: False):
    return Client(asker, has_left)


class Leaving:
    """Whether a client has left, which its test decides."""

    def __init__(self):
        self.left = False

    def __call__(self):
        return self.left


@pytest.fixture
def store(tmp_path):
    store = Store(f"chdb://{tmp_path}/store", threads=THREADS)
    store.open()
    yield store
    store.close()


@asynccontextmanager
async def busy(engine):
    """All threads have a question, of others, until the block is left."""
    begun, end = threading.Barrier(THREADS + 1), threading.Event()

    def hold(_ask):
        begun.wait(10)
        end.wait(10)

    others = [client(Asker(f"other {number}", "key")) for number in range(THREADS)]
    tasks = [asyncio.create_task(engine.run(asker, hold)) for asker in others]
    await asyncio.to_thread(begun.wait, 10)
    try:
        yield
    finally:
        end.set()
        await asyncio.gather(*tasks)


async def until_waiting(engine, questions):
    """A question waits some turns of the loop after its task was made."""
    for _ in range(9):
        if engine.queue.waiting == questions:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{engine.queue.waiting} questions wait, not {questions}")


async def test_the_same_question_that_waits_already_is_asked_once(store):
    engine, numbers = Engine(store, QuerySettings()), itertools.count()

    def question(_ask, name):
        return name, next(numbers)

    async with busy(engine):
        tasks = [
            asyncio.create_task(engine.run_shared(client(), question, name)) for name in ("a", "b", "a", "a", "b")
        ]
        await until_waiting(engine, 2)
    answers = await asyncio.gather(*tasks)
    assert answers[0] == answers[2] == answers[3]
    assert answers[1] == answers[4]
    assert {name for name, _ in answers} == {"a", "b"}
    assert next(numbers) == 2
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)


async def test_a_question_of_another_key_waits_in_no_other_s_queue(store):
    engine, asked = Engine(store, QuerySettings()), []
    begun, end = threading.Semaphore(0), threading.Event()

    def question(_ask, name):
        asked.append(name)
        begun.release()
        end.wait(10)

    async with busy(engine):
        many = [asyncio.create_task(engine.run_shared(client(), question, number)) for number in range(5)]
        await until_waiting(engine, 5)
        last = asyncio.create_task(engine.run_shared(client(ANOTHER_KEY), question, 4))
        await until_waiting(engine, 6)
    for _ in range(THREADS):
        await asyncio.to_thread(begun.acquire)
    assert sorted(asked) == [0, 4]
    end.set()
    await asyncio.gather(*many, last)
    assert sorted(asked) == [0, 1, 2, 3, 4, 4]


async def test_a_question_that_has_begun_is_asked_again(store):
    engine = Engine(store, QuerySettings())
    numbers, begun, end = itertools.count(), threading.Semaphore(0), threading.Event()

    def question(_ask):
        number = next(numbers)
        begun.release()
        end.wait(10)
        return number

    first = asyncio.create_task(engine.run_shared(client(), question))
    await asyncio.to_thread(begun.acquire)
    second = asyncio.create_task(engine.run_shared(client(), question))
    await until_waiting(engine, 1)
    end.set()
    assert [await first, await second] == [0, 1]


async def test_a_question_begins_unless_all_who_asked_it_have_left(store):
    engine, names = Engine(store, QuerySettings()), []

    def question(_ask, name):
        names.append(name)

    async with busy(engine):
        tasks = {
            (name, number): asyncio.create_task(engine.run_shared(client(), question, name))
            for name in ("left", "kept")
            for number in range(2)
        }
        await until_waiting(engine, 2)
        for ended in (("left", 0), ("left", 1), ("kept", 0)):
            tasks[ended].cancel()
        await asyncio.wait([tasks["left", 0], tasks["left", 1], tasks["kept", 0]])
        again = asyncio.create_task(engine.run_shared(client(), question, "kept"))
        await asyncio.sleep(0)
    await asyncio.gather(tasks["kept", 1], again)
    assert names == ["kept"]
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)


async def test_a_question_whose_client_left_while_it_waited_does_not_begin(store):
    engine, begun, has_left = Engine(store, QuerySettings()), [], Leaving()

    def question(_ask):
        begun.append("left")

    async with busy(engine):
        waiting = asyncio.create_task(engine.run(client(has_left=has_left), question))
        await until_waiting(engine, 1)
        has_left.left = True
        with pytest.raises(ClientLeft):
            await waiting
        await until_waiting(engine, 0)
    assert begun == []
    assert engine.queue.left == 1


async def test_a_statement_whose_client_left_is_ended_by_the_engine(store):
    engine, has_left = Engine(store, QuerySettings()), Leaving()
    begun, ended = threading.Event(), threading.Event()

    def question(ask):
        begun.set()
        try:
            # Each row sleeps; in all it would take minutes.
            ask(Statement("SELECT sum(sleepEachRow(0.1)) FROM numbers(300) SETTINGS max_block_size = 1"))
        finally:
            ended.set()

    waiting = asyncio.create_task(engine.run(client(has_left=has_left), question))
    await asyncio.to_thread(begun.wait, 10)
    while not store.query("SELECT 1 FROM system.processes WHERE Settings['log_comment'] LIKE 'apimetry-%'"):  # noqa: ASYNC110 - as an operator looks
        await asyncio.sleep(0)
    has_left.left = True
    with pytest.raises(ClientLeft):
        await waiting
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_question_whose_client_left_asks_no_further_statement(store):
    engine, has_left = Engine(store, QuerySettings()), Leaving()
    begun, go_on, outcome = threading.Event(), threading.Event(), []

    def question(ask):
        begun.set()
        go_on.wait(10)
        try:
            outcome.extend(ask(Statement("SELECT 1")))
        except ClientLeft as error:
            outcome.append(error)
            raise

    waiting = asyncio.create_task(engine.run(client(has_left=has_left), question))
    await asyncio.to_thread(begun.wait, 10)
    has_left.left = True
    with pytest.raises(ClientLeft):
        await waiting
    # Its slot is held until its thread is free.
    assert engine.queue.running == 1
    go_on.set()
    while engine.queue.running:  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0)
    assert [type(error) for error in outcome] == [ClientLeft]


async def test_beside_a_much_smaller_load_statements_get_half_of_the_threads_and_give_way(store):
    engine = Engine(store, QuerySettings())

    def settings(ask):
        ((rank, threads),) = ask(Statement("SELECT getSetting('priority'), getSetting('max_threads')"))
        return rank, threads

    def has_load(asker, load):
        """Have an asker be known, with a load."""
        organization = engine.queue._organizations[asker.organization]
        for share in (organization, organization.keys[asker.key]):
            share.load, share.made = load, share.made - 100

    quiet = Asker("light", "key")
    alone = await engine.run(client(), settings)
    await engine.run(client(quiet), settings)
    has_load(quiet, 0.0)
    has_load(KEY, 2.0)
    light = await engine.run(client(quiet), settings)
    heavy = await engine.run(client(), settings)
    assert light[0] < heavy[0]
    assert heavy[1] == max(1, alone[1] // 2)
    assert light[1] == alone[1]


async def test_queries_that_run_at_the_same_time_share_the_engine_s_threads(store):
    engine, go_on = Engine(store, QuerySettings()), threading.Event()
    statement = Statement("SELECT getSetting('max_threads')")
    ((alone,),) = await engine.run(client(), lambda ask: ask(statement))
    waiting = asyncio.create_task(engine.run(client(Asker("other", "key")), lambda _: go_on.wait()))
    while not engine.queue.running:  # noqa: ASYNC110 - the queue tells nobody
        await asyncio.sleep(0)
    ((beside,),) = await engine.run(client(), lambda ask: ask(statement))
    go_on.set()
    await waiting
    assert beside == max(1, alone // 2)


async def test_an_insert_into_an_embedded_store_waits_for_a_query_that_runs(store):
    migrations.migrate(store)
    engine, inserted = Engine(store, QuerySettings()), threading.Event()

    def insert():
        store.insert_rows("token", encode_row())
        inserted.set()

    def query(_ask):
        inserting.start()
        while not store.inserts._intents._lock.locked():
            time.sleep(0.001)
        return inserted.is_set()

    inserting = threading.Thread(target=insert)
    assert not await engine.run(client(), query)
    inserting.join()
    assert inserted.is_set()


async def test_all_who_asked_get_the_error(store):
    engine = Engine(store, QuerySettings())

    def question(_ask):
        raise ValueError("no")

    async with busy(engine):
        tasks = [asyncio.create_task(engine.run_shared(client(), question)) for _ in range(3)]
        await until_waiting(engine, 1)
    assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == ["no"] * 3
