import pytest

from webshop.models import Event, Product, db


def add(client, name, **more):
    return client.post("/products", json={"name": name, "price": 100, **more})


def test_a_shop_begins_empty(client):
    assert client.get("/products").json == []


@pytest.mark.parametrize("number", range(60))
def test_the_first_product_has_the_number_1(client, number):
    assert add(client, f"product {number}").json == {"id": 1}
    assert client.get("/products").json == [[f"product {number}", 10]]


def test_a_name_is_taken_once_and_the_audit_log_says_so(app, client):
    assert add(client, "tea").status_code == 201
    assert add(client, "tea").status_code == 409
    with app.app_context():
        assert db.session.query(Product).count() == 1
        assert [event.what for event in db.session.query(Event)] == ["added tea", "refused tea"]
