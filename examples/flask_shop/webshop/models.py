"""The shop's tables, and those of the audit log, which is another database."""

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Product(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), unique=True, nullable=False)
    price = db.Column(db.Integer, nullable=False)  # cents
    stock = db.Column(db.Integer, db.CheckConstraint("stock >= 0"), nullable=False, default=10)


class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    product_id = db.Column(db.ForeignKey("product.id"), nullable=False)
    amount = db.Column(db.Integer, nullable=False)
    total = db.Column(db.Integer, nullable=False)


class Event(db.Model):
    __bind_key__ = "audit"
    id = db.Column(db.Integer, primary_key=True)
    what = db.Column(db.String(200), nullable=False)


Shop = db.metadatas[None]
Audit = db.metadatas["audit"]
