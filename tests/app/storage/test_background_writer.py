"""Tasks run in order in a thread of their own; one that fails stops no later one."""

import threading

from secateur.app.storage.background_writer import Writer


def test_tasks_run_in_order_elsewhere_and_a_failure_is_told() -> None:
    done, failures = list[int](), list[Exception]()
    writer = Writer("test", failures.append)

    def fail() -> None:
        raise OSError("full")

    for number in range(20):
        writer.put(lambda number=number: done.append(number))
        if number == 10:
            writer.put(fail)
    writer.put(lambda: done.append(threading.get_ident()))
    assert writer.flush()
    assert done[:20] == list(range(20)) and done[20] != threading.get_ident()
    assert [str(one) for one in failures] == ["full"]
    assert writer.close() and "test" not in [t.name for t in threading.enumerate()]


def test_a_writer_that_never_wrote_has_no_thread_and_one_that_was_closed_can_begin_again() -> None:
    writer, done = Writer("test"), list[int]()
    assert writer.flush() and writer.close()
    writer.put(lambda: done.append(1))
    assert writer.close() and done == [1]
    writer.put(lambda: done.append(2))
    assert writer.close() and done == [1, 2]
