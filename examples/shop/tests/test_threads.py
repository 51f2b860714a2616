"""Several at once: customers in threads, and mail that workers send over connections of their own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from shop import customers, db, mailer, orders, payments, reports, stock
from shop.errors import CouponRefused, OutOfStock, ShopError, WrongState

PATIENCE = 60.0  # seconds until a mail that never comes fails a test


def all_at_once(*actions: Callable[[], object]) -> list[object]:
    """What each action returned, or the error that the shop raised; each in a thread of its own, started together."""
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> object:
        start.wait()
        try:
            return action()
        except ShopError as error:
            return type(error)

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


class Post:
    """Remembers what was sent; wakes who waits for a mail."""

    def __init__(self, *, fails: int = 0) -> None:
        self.sent: list[tuple[str, str]] = []
        self.arrived = threading.Semaphore(0)
        self._fails = fails
        self._lock = threading.Lock()

    def __call__(self, recipient: str, subject: str) -> None:
        with self._lock:
            self._fails -= 1
            if self._fails >= 0:
                raise OSError("connection refused")
            self.sent.append((recipient, subject))
        self.arrived.release()


def waiting() -> int:
    with db.connect() as connection:
        (number,) = connection.execute("select count(*) from mails where sent_at is null").fetchone() or (0,)
        return int(number)


def test_five_are_left_so_five_of_eight_customers_get_one() -> None:
    outcomes = Counter(all_at_once(*[lambda: bool(orders.place("ada@example.com", {"RARE": 1}))] * 8))
    assert outcomes == {True: 5, OutOfStock: 3}
    assert stock.left("RARE") == 0


def test_a_coupon_for_one_use_is_used_once() -> None:
    outcomes = Counter(all_at_once(*[lambda: bool(orders.place("ada@example.com", {"TEA": 1}, coupon="ONCE"))] * 5))
    assert outcomes == {True: 1, CouponRefused: 4}
    assert stock.left("TEA") == 99


def test_an_order_that_is_paid_twice_at_once_is_paid_once() -> None:
    order_id = orders.place("ada@example.com", {"POT": 1})
    outcomes = all_at_once(*[lambda: payments.pay(order_id, "4242")] * 4)
    assert Counter(outcomes) == {1001: 1, WrongState: 3}
    assert reports.turnover() == 2450


def test_paying_and_cancelling_at_once_does_one_of_them() -> None:
    order_id = orders.place("ada@example.com", {"POT": 1})
    all_at_once(lambda: payments.pay(order_id, "4242"), lambda: orders.cancel(order_id))
    assert (orders.state(order_id), reports.turnover(), stock.left("POT")) in [
        ("paid", 2450, 99),
        ("cancelled", 0, 100),
    ]


def test_baskets_in_opposite_orders_do_not_deadlock() -> None:
    one, other = {"TEA": 1, "POT": 1}, {"POT": 1, "TEA": 1}
    buy = [lambda: bool(orders.place("ada@example.com", one)), lambda: bool(orders.place("grace@example.com", other))]
    assert all_at_once(*buy * 4) == [True] * 8
    assert (stock.left("TEA"), stock.left("POT")) == (92, 92)


def test_threads_that_register_get_numbers_of_their_own() -> None:
    numbers = all_at_once(*[lambda i=i: customers.register(f"c{i}@example.com", "C") for i in range(6)])
    assert sorted(map(str, numbers)) == ["4", "5", "6", "7", "8", "9"]


def test_a_thread_sees_what_another_has_committed() -> None:
    order_id = orders.place("ada@example.com", {"TEA": 1})
    assert all_at_once(lambda: orders.state(order_id), lambda: stock.left("TEA")) == ["placed", 99]


def test_every_mail_goes_out_once_whoever_sends_it() -> None:
    for number in range(12):
        customers.register(f"c{number}@example.com", "C")
    post = Post()
    assert mailer.send_waiting(post, workers=4) == 12
    assert sorted(post.sent) == sorted((f"c{number}@example.com", "Welcome") for number in range(12))
    assert waiting() == 0


def test_nothing_waits_in_a_shop_that_just_opened() -> None:
    assert (waiting(), mailer.send_waiting(Post())) == (0, 0)


def test_mail_of_an_order_that_failed_is_never_sent() -> None:
    with pytest.raises(OutOfStock):
        orders.place("ada@example.com", {"RARE": 6})
    post = Post()
    mailer.send_waiting(post)
    assert post.sent == []


def test_a_mail_that_fails_is_tried_again() -> None:
    customers.register("alan@example.com", "Alan")
    post = Post(fails=2)
    assert (mailer.send_waiting(post, workers=1), post.sent) == (1, [("alan@example.com", "Welcome")])


def test_a_mail_that_always_fails_is_given_up_and_stays() -> None:
    customers.register("alan@example.com", "Alan")
    assert mailer.send_waiting(Post(fails=99), workers=2) == 0
    with db.connect() as connection:
        assert connection.execute("select id, attempts, sent_at from mails").fetchall() == [(1, 3, None)]


def test_a_worker_sends_as_soon_as_an_order_commits() -> None:
    post = Post()
    with mailer.Worker(post):
        orders.place("ada@example.com", {"TEA": 1})
        assert post.arrived.acquire(timeout=PATIENCE)
    assert post.sent == [("ada@example.com", "Order 1 received")]


def test_a_worker_sends_the_mails_of_many_threads() -> None:
    post = Post()
    with mailer.Worker(post):
        all_at_once(*[lambda: orders.place("grace@example.com", {"CUP": 1})] * 5)
        assert all(post.arrived.acquire(timeout=PATIENCE) for _ in range(5))
    assert len({subject for _, subject in post.sent}) == 5
    assert waiting() == 0


def test_mails_name_the_thread_that_sent_them() -> None:
    customers.register("alan@example.com", "Alan")
    mailer.send_waiting(Post(), workers=1)
    with db.connect() as connection:
        assert connection.execute("select sent_by from mails").fetchall() == [("mailer_0",)]
