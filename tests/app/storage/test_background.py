"""Tasks run in order in a thread of their own; one that fails stops no later one."""

import threading

from secateur.app.storage.background import BackgroundTasks
from secateur.engine.errors import SecateurError
from tests.waiting import PATIENCE


def test_tasks_run_in_order_elsewhere_and_a_failure_is_told() -> None:
    done, failures = list[int](), list[Exception]()
    tasks = BackgroundTasks("test", failures.append)

    def fail() -> None:
        raise OSError("full")

    for number in range(20):
        tasks.run(lambda number=number: done.append(number))
        if number == 10:
            tasks.run(fail)
    tasks.run(lambda: done.append(threading.get_ident()))
    assert tasks.flush(PATIENCE)
    assert done[:20] == list(range(20)) and done[20] != threading.get_ident()
    assert [str(one) for one in failures] == ["full"]
    assert tasks.close(PATIENCE) and "test" not in [t.name for t in threading.enumerate()]


def test_what_never_ran_anything_has_no_thread_and_one_that_was_closed_can_begin_again() -> None:
    tasks, done = BackgroundTasks("test"), list[int]()
    assert tasks.flush(PATIENCE) and tasks.close(PATIENCE)
    tasks.run(lambda: done.append(1))
    assert tasks.close(PATIENCE) and done == [1]
    tasks.run(lambda: done.append(2))
    assert tasks.close(PATIENCE) and done == [1, 2]


def test_results_and_failures_come_back_in_the_interfaces_thread(qtbot) -> None:
    tasks, told = BackgroundTasks("test"), list[tuple[str, int]]()

    def fail() -> None:
        raise OSError("full")

    def failed(error: SecateurError) -> None:
        told.append((str(error), threading.get_ident()))

    tasks.run(lambda: "made", lambda made: told.append((made, threading.get_ident())))
    tasks.run(fail, on_error=failed)
    qtbot.waitUntil(lambda: len(told) == 2)
    assert {thread for _, thread in told} == {threading.get_ident()}
    assert told[0][0] == "made" and "OSError: full" in told[1][0]
    assert tasks.close(PATIENCE)


def test_a_failure_that_nobody_takes_is_told_as_any_of_a_thread(monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(str(args.exc_value)))
    tasks = BackgroundTasks("test")

    def fail() -> None:
        raise OSError("full")

    tasks.run(fail)
    assert tasks.close(PATIENCE) and told == ["full"]
