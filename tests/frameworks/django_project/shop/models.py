"""Orders of products; two products come with the migrations."""

from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Order(models.Model):
    name = models.CharField(max_length=50)
    product = models.ForeignKey(Product, null=True, on_delete=models.CASCADE)
