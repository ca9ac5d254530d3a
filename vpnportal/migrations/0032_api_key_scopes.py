"""Limit the rights of a program with an API key, and its days.

Keys of before may do all that the role of their user permits.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0031_key_rotation")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="scope",
            field=models.CharField(
                choices=[
                    ("read", "Read"),
                    ("edit", "Edit drafts"),
                    ("apply", "Apply"),
                    ("order", "Order and cancel"),
                ],
                db_default="order",
                default="order",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="apikey", name="starts_at", field=models.DateTimeField(null=True)
        ),
        migrations.AddField(
            model_name="apikey", name="warned_at", field=models.DateTimeField(null=True)
        ),
    ]
