import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only for this example")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "signup.urls"
INSTALLED_APPS = ["signup"]
MIDDLEWARE = ["signup.middleware.TaskyardMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True

TASKYARD = {"url": os.environ["TASKYARD_URL"], "key": os.environ["TASKYARD_API_KEY"]}
