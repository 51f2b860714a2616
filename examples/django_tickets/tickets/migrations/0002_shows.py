from django.db import migrations


def add_shows(apps, schema_editor):
    show = apps.get_model("tickets", "Show")
    show.objects.create(title="Hamlet", seats=2)
    show.objects.create(title="The Tempest", seats=100)


class Migration(migrations.Migration):
    dependencies = [("tickets", "0001_initial")]
    operations = [migrations.RunPython(add_shows, migrations.RunPython.noop)]
