from django.db import migrations


def add_products(apps, schema_editor):
    product = apps.get_model("shop", "Product")
    for name in ("ticket", "poster"):
        product.objects.using(schema_editor.connection.alias).create(name=name)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add_products, migrations.RunPython.noop)]
