"""A web shop: an app factory, Flask-SQLAlchemy, and an audit log in a second database."""

import os

from flask import Flask, jsonify, request
from sqlalchemy.exc import IntegrityError

from webshop.models import Event, Order, Product, db


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_URL"]
    app.config["SQLALCHEMY_BINDS"] = {"audit": os.environ["AUDIT_URL"]}
    db.init_app(app)
    app.post("/products")(add_product)
    app.get("/products")(list_products)
    app.post("/orders")(place_order)
    return app


def add_product():
    db.session.add(product := Product(**request.json))
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return log(f"refused {request.json['name']}"), 409
    log(f"added {product.name}")
    return jsonify(id=product.id), 201


def list_products():
    return jsonify([[product.name, product.stock] for product in db.session.scalars(db.select(Product))])


def place_order():
    product = db.session.get(Product, request.json["product"], with_for_update=True)
    amount = request.json["amount"]
    product.stock -= amount
    order = Order(product_id=product.id, amount=amount, total=amount * product.price)
    db.session.add(order)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return log(f"sold out {product.name}"), 409
    log(f"sold {amount} {product.name}")
    return jsonify(id=order.id, total=order.total), 201


def log(what):
    db.session.add(Event(what=what))
    db.session.commit()
    return what
