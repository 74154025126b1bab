"""One body for all who ask: only under pressure, never older than a moment, made once, and bounded."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask, Response, request

from hub.web import shared_body as module
from hub.web.shared_body import KEPT_SECONDS, MAX_BODIES, MAX_BYTES, SharedBodies
from tests.conftest import eventually


class Bench:
    """Bodies that take some time to make, on clocks that are set by hand."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.now, self.used, self.seconds, self.made = 1_000.0, 0.0, seconds, 0
        self.bodies = SharedBodies(lambda: self.now, lambda: self.used)

    def make(self, size: int = 1) -> Response:
        self.used += self.seconds
        self.made += 1
        return Response(b"x" * size, headers={"Number": str(self.made)})

    def ask(self, key: Any = "key", size: int = 1) -> int:
        return int(dict(self.bodies.body(key, lambda: self.make(size))[0].headers)["Number"])


def test_while_few_ask_each_sees_what_it_has_just_done() -> None:
    bench = Bench()
    for expected in range(1, 101):
        assert bench.ask() == expected
        bench.now += 0.02  # a tenth of the time is used


def test_under_a_flood_bodies_take_a_bounded_part_of_the_time_and_are_never_old() -> None:
    bench = Bench(seconds=0.010)
    last, made_at = 0, 0.0
    for _ in range(10_000):
        number = bench.ask()
        if number != last:
            last, made_at = number, bench.now
        assert bench.now - made_at < KEPT_SECONDS
        bench.now += 0.001
    assert bench.made * bench.seconds <= 10 * (module.ANEW_SHARE + bench.seconds / KEPT_SECONDS) + 0.1
    bench.now += 10.0
    assert bench.ask() == last + 1


def test_the_dearest_body_is_made_four_times_a_second() -> None:
    bench = Bench(seconds=0.2)
    for _ in range(1_000):
        bench.ask()
        bench.now += 0.01
    assert bench.made <= 10 / KEPT_SECONDS + 2


def test_what_depends_on_other_things_is_another_body() -> None:
    bench = Bench(seconds=1.0)
    assert [bench.ask(key) for key in ("a", "b", "a", "b", "c")] == [1, 2, 1, 2, 3]


def test_bodies_are_bounded_in_number_and_in_bytes() -> None:
    bench = Bench(seconds=1.0)
    for number in range(MAX_BODIES * 2):
        bench.ask(number)
    assert len(bench.bodies._bodies) == MAX_BODIES
    for number in range(20):
        bench.ask(number, MAX_BYTES // 4)
    assert bench.bodies._bytes <= MAX_BYTES
    assert bench.bodies._bytes == sum(len(body.data) for body in bench.bodies._bodies.values())
    before = bench.ask("large", MAX_BYTES + 1)
    assert bench.ask("large", MAX_BYTES + 1) == before + 1, "it is not kept"
    assert bench.bodies._bytes == 0


def test_what_is_old_is_given_back() -> None:
    bench = Bench(seconds=1.0)
    for number in range(10):
        bench.ask(number, 1_000)
    bench.now += KEPT_SECONDS
    bench.ask("another", 7)
    assert bench.bodies._bytes == 7


def test_bodies_are_made_one_after_another_and_who_waited_gets_what_came_meanwhile() -> None:
    looks: list[float] = []

    def clock() -> float:
        looks.append(len(looks))
        return looks[-1]

    bodies, begun, go_on = SharedBodies(clock), threading.Event(), threading.Event()
    made: list[str] = []

    def make(name: str) -> Response:
        made.append(name)
        begun.set()
        assert go_on.wait(5)
        return Response(name)

    got: list[bytes] = []
    names = ["first", *["second"] * 5]
    threads = [threading.Thread(target=lambda name=name: got.append(bodies.body(name, lambda: make(name))[0].data))
               for name in names]  # fmt: skip
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(looks) == 8)  # one at the start, two of the first, one of each that waits now
    assert bodies.body("urgent", lambda: Response(b"at once"), urgent=True)[0].data == b"at once"
    assert made == ["first"]
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert sorted(got) == sorted(name.encode() for name in names)
    assert made == ["first", "second"]


def test_a_bug_while_a_body_is_made_holds_nobody_up() -> None:
    bodies = SharedBodies()
    with pytest.raises(ZeroDivisionError):
        bodies.body("key", lambda: Response(str(1 // 0)))
    assert bodies.body("key", lambda: Response(b"well"))[0].data == b"well"


def test_an_answer_keeps_its_status_and_headers_and_nonsense_is_never_kept() -> None:
    app, bench = Flask(__name__), Bench(seconds=1.0)

    @app.get("/")
    @bench.bodies.shared(lambda: int(request.args.get("n", "1")))
    def view() -> Response:
        bench.used += 1.0
        bench.made += 1
        return Response(f"{bench.made}", 503, {"Vary": "Accept"}, "application/x-ours")

    client = app.test_client()
    first, again, other = client.get("/"), client.get("/?n=01&more=x"), client.get("/?n=2")
    assert (first.text, again.text, other.text) == ("1", "1", "2")
    assert (again.status_code, again.mimetype, again.headers["Vary"]) == (503, "application/x-ours", "Accept")
    assert client.head("/").data == b""
    assert [client.get("/?n=x").text for _ in range(2)] == ["3", "4"]
    assert len(bench.bodies._bodies) == 2
