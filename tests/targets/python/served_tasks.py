"""Tasks for celery over a folder as the broker; run by itself, it asks for work of 20 s."""

import os

import celery
from served import burns

folder = os.environ["BROKER_FOLDER"]
app = celery.Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
app.conf.broker_connection_retry_on_startup = True


@app.task(name="work")
def work():
    burns(0.1)


if __name__ == "__main__":
    for _ in range(200):
        work.delay()
