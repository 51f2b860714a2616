"""What can go wrong in a shop."""

from __future__ import annotations


class ShopError(Exception):
    """Base of what the shop refuses."""


class UnknownCustomer(ShopError):
    """Nobody has registered with this address."""


class UnknownProduct(ShopError):
    """There is no such product, or it is not for sale."""


class OutOfStock(ShopError):
    """Less is left than was ordered."""


class CouponRefused(ShopError):
    """There is no such coupon, or it is used up."""


class WrongState(ShopError):
    """The order is not in a state that allows this."""


class CardDeclined(ShopError):
    """The bank said no."""


class RefundRefused(ShopError):
    """More would be paid back than was paid."""


class Busy(ShopError):
    """Somebody else is counting the stock."""
